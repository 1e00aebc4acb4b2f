# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# When each scale set has how many machines: the plan's week, and what the load asks for beyond it. All hours are those of UTC.

locals {
  # The first profile holds until the first of the calendar begins, and always where the week has one number of machines.
  profiles = {
    for key, pool in local.scale_sets : key => concat(
      [{ name = "default", days = [], hour = 0, minute = 0, machines = pool.peak, maximum = pool.maximum, from = "", to = "" }],
      [for entry in pool.entries : merge(entry, { maximum = pool.maximum, from = "", to = "" })],
      var.expires_on == "" ? [] : [{
        name = "expired", days = [], hour = 0, minute = 0, machines = 0, maximum = 0,
        from = "${var.expires_on}T00:00:00Z", to = timeadd("${var.expires_on}T00:00:00Z", "87600h")
      }],
    )
  }

  # What a pool grows and shrinks by: the gateway's own figure where it is there, else the CPU where that tells of the load. None: its
  # calendar alone says how many machines it has.
  measured = {
    for key, pool in local.scale_sets : key => var.metrics == null || pool.load == null ? [] : concat(
      [
        { metric = pool.load.metric, grows = true, above = pool.load.grow_above, type = "ChangeCount", by = 1, each = pool.load.each_machine },
        { metric = pool.load.metric, grows = true, above = pool.load.half_above, type = "PercentChangeCount", by = 50, each = pool.load.each_machine },
        { metric = pool.load.metric, grows = true, above = pool.load.double_above, type = "PercentChangeCount", by = 100, each = pool.load.each_machine },
        { metric = pool.load.metric, grows = false, above = pool.load.shrink_below, type = "ChangeCount", by = 1, each = pool.load.each_machine },
      ],
      pool.from_none ? [{ metric = "tightrope_held_requests", grows = true, above = 0, type = "ChangeCount", by = 1, each = false }] : [],
    )
  }

  by_cpu = [
    { metric = "Percentage CPU", grows = true, above = var.cpu_percent.grow, type = "ChangeCount", by = 1, each = false },
    { metric = "Percentage CPU", grows = false, above = var.cpu_percent.shrink, type = "ChangeCount", by = 1, each = false },
  ]

  rules = {
    for key, pool in local.scale_sets : key => (
      var.metrics != null ? local.measured[key] : (pool.accelerators == 0 && pool.load != null ? local.by_cpu : [])
    )
  }
}

resource "azurerm_monitor_autoscale_setting" "pool" {
  for_each = local.scale_sets

  name                = "${var.workload}-${each.key}"
  resource_group_name = azurerm_resource_group.region[each.value.region].name
  location            = each.value.region
  target_resource_id  = azurerm_linux_virtual_machine_scale_set.pool[each.key].id
  tags                = merge(local.tags, each.value.tags)

  dynamic "profile" {
    for_each = local.profiles[each.key]

    content {
      name = profile.value.name

      capacity {
        minimum = profile.value.machines
        default = profile.value.machines
        maximum = length(local.rules[each.key]) > 0 ? profile.value.maximum : profile.value.machines
      }

      dynamic "recurrence" {
        for_each = length(profile.value.days) > 0 ? [profile.value] : []

        content {
          timezone = "UTC"
          days     = recurrence.value.days
          hours    = [recurrence.value.hour]
          minutes  = [recurrence.value.minute]
        }
      }

      dynamic "fixed_date" {
        for_each = profile.value.from != "" ? [profile.value] : []

        content {
          timezone = "UTC"
          start    = fixed_date.value.from
          end      = fixed_date.value.to
        }
      }

      dynamic "rule" {
        for_each = profile.value.maximum > 0 ? local.rules[each.key] : []

        content {
          metric_trigger {
            metric_name              = rule.value.metric
            divide_by_instance_count = rule.value.each
            metric_namespace         = var.metrics == null ? null : var.metrics.namespace
            metric_resource_id       = var.metrics == null ? azurerm_linux_virtual_machine_scale_set.pool[each.key].id : var.metrics.resource_id
            operator                 = rule.value.grows ? "GreaterThan" : "LessThan"
            threshold                = rule.value.above
            statistic                = "Average"
            time_aggregation         = "Average"
            time_grain               = "PT1M"
            time_window              = "PT5M"

            dynamic "dimensions" {
              for_each = var.metrics == null ? {} : { workload = each.value.tags.workload, pool = each.value.name }

              content {
                name     = dimensions.key
                operator = "Equals"
                values   = [dimensions.value]
              }
            }
          }

          scale_action {
            direction = rule.value.grows ? "Increase" : "Decrease"
            type      = rule.value.type
            value     = rule.value.by
            cooldown  = "PT${rule.value.grows ? each.value.start_minutes : each.value.steady_minutes}M"
          }
        }
      }
    }
  }
}
