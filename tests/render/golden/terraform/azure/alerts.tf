# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# What people hear of: machines that do not answer, too little and too much to do, spot machines taken, scaling that failed.

locals {
  # What tells of a pool's load, as in scaling.tf.
  load = {
    for key, pool in local.scale_sets : key => var.metrics == null ? {
      metric = "Percentage CPU", namespace = "Microsoft.Compute/virtualMachineScaleSets", low = 5, high = 95, pools = [],
      scope  = azurerm_linux_virtual_machine_scale_set.pool[key].id
      } : {
      metric = "tightrope_utilisation_ratio", namespace = var.metrics.namespace, low = 0.1, high = pool.busy_above, pools = [pool.name],
      scope  = var.metrics.resource_id
    } if var.metrics != null || pool.accelerators == 0
  }

  load_alerts = merge(
    { for key, load in local.load : "${key}-busy" => merge(load, { pool = key, high_side = true, threshold = load.high, window = "PT15M" }) },
    { for key, load in local.load : "${key}-idle" => merge(load, { pool = key, high_side = false, threshold = load.low, window = "P1D" }) },
  )
}

resource "azurerm_monitor_action_group" "people" {
  name                = "${var.workload}-people"
  resource_group_name = azurerm_resource_group.region[local.home].name
  short_name          = substr(var.workload, 0, 12)
  tags                = local.tags

  dynamic "email_receiver" {
    for_each = toset(var.notify_emails)

    content {
      name                    = email_receiver.value
      email_address           = email_receiver.value
      use_common_alert_schema = true
    }
  }
}

resource "azurerm_monitor_metric_alert" "load" {
  for_each = local.load_alerts

  name                = "${var.workload}-${each.key}"
  resource_group_name = azurerm_resource_group.region[local.home].name
  description         = each.value.high_side ? "The pool has more to do than it was planned for: see its promises." : "The pool has next to nothing to do for a day: plan again with newer traffic."
  scopes              = [each.value.scope]
  severity            = each.value.high_side ? 2 : 3
  frequency           = each.value.high_side ? "PT5M" : "PT1H"
  window_size         = each.value.window
  tags                = merge(local.tags, { pool = each.value.pool })

  criteria {
    metric_namespace       = each.value.namespace
    metric_name            = each.value.metric
    aggregation            = "Average"
    operator               = each.value.high_side ? "GreaterThan" : "LessThan"
    threshold              = each.value.threshold
    skip_metric_validation = true

    dynamic "dimension" {
      for_each = length(each.value.pools) > 0 ? [each.value.pools] : []

      content {
        name     = "pool"
        operator = "Include"
        values   = dimension.value
      }
    }
  }

  action {
    action_group_id = azurerm_monitor_action_group.people.id
  }
}

resource "azurerm_monitor_metric_alert" "answering" {
  for_each = local.balanced

  name                = "${var.workload}-answering-${each.key}"
  resource_group_name = azurerm_resource_group.region[local.home].name
  description         = "Fewer than half of the replicas behind the load balancer pass their health check."
  scopes              = [azurerm_lb.region[each.key].id]
  severity            = 1
  frequency           = "PT1M"
  window_size         = "PT5M"
  tags                = local.tags

  criteria {
    metric_namespace = "Microsoft.Network/loadBalancers"
    metric_name      = "DipAvailability"
    aggregation      = "Average"
    operator         = "LessThan"
    threshold        = 50
  }

  action {
    action_group_id = azurerm_monitor_action_group.people.id
  }
}

resource "azurerm_monitor_activity_log_alert" "taken" {
  count = length([for pool in local.scale_sets : pool if pool.spot]) > 0 ? 1 : 0

  name                = "${var.workload}-taken"
  resource_group_name = azurerm_resource_group.region[local.home].name
  location            = "global"
  description         = "Azure took machines of a scale set away."
  scopes              = [for key, pool in local.scale_sets : azurerm_linux_virtual_machine_scale_set.pool[key].id if pool.spot]
  tags                = local.tags

  criteria {
    category      = "ResourceHealth"
    resource_type = "Microsoft.Compute/virtualMachineScaleSets"

    resource_health {
      current = ["Degraded", "Unavailable"]
      reason  = ["PlatformInitiated"]
    }
  }

  action {
    action_group_id = azurerm_monitor_action_group.people.id
  }
}

resource "azurerm_monitor_activity_log_alert" "not_scaled" {
  count = length(local.scale_sets) > 0 ? 1 : 0

  name                = "${var.workload}-not-scaled"
  resource_group_name = azurerm_resource_group.region[local.home].name
  location            = "global"
  description         = "A scale set could not be scaled: a quota, or no machines to be had."
  scopes              = [for region in local.balanced : azurerm_resource_group.region[region].id]
  tags                = local.tags

  criteria {
    category = "Autoscale"
    status   = "Failed"
  }

  action {
    action_group_id = azurerm_monitor_action_group.people.id
  }
}

resource "azurerm_monitor_diagnostic_setting" "scaling" {
  for_each = local.scale_sets

  name                       = "logs"
  target_resource_id         = azurerm_monitor_autoscale_setting.pool[each.key].id
  log_analytics_workspace_id = azurerm_log_analytics_workspace.logs.id

  enabled_log {
    category = "AutoscaleScaleActions"
  }
}

resource "azurerm_monitor_diagnostic_setting" "cluster" {
  for_each = local.clusters

  name                       = "logs"
  target_resource_id         = azurerm_kubernetes_cluster.region[each.key].id
  log_analytics_workspace_id = azurerm_log_analytics_workspace.logs.id

  enabled_log {
    category = "cluster-autoscaler"
  }

  enabled_log {
    category = "kube-audit-admin"
  }
}
