# What somebody should hear of, from the gateway's own metrics (Google Cloud Managed Service for Prometheus), judged as Prometheus does.

locals {
  # The pools as the gateway calls them: what an expression would read as a sign is escaped, then the whole is quoted.
  escaped  = { for key, item in merge({ for key, item in var.pools : key => item.pool }, { for key, item in var.services : key => item.pool }) : key => replace(item, "/([][.+*?^$(){}|\\\\])/", "\\$1") }
  ours     = "pool=~${jsonencode(join("|", values(local.escaped)))}"
  machines = "pool=~${jsonencode(join("|", [for key in keys(var.pools) : local.escaped[key]]))}"

  alerts = merge(
    length(var.pools) == 0 ? {} : {
      cost = {
        title    = "the machines cost more an hour than all of them at their most, as planned"
        query    = "sum(tightrope_usd_per_hour{${local.machines}}) > ${var.usd_per_hour * (1 + var.margin)}"
        duration = "600s"
        severity = "WARNING"
      }
    },
    {
      errors = {
        title    = "more than one answer in a hundred is an error"
        query    = "sum(rate(tightrope_requests_total{${local.ours},outcome=\"error\"}[10m])) / sum(rate(tightrope_requests_total{${local.ours}}[10m])) > 0.01"
        duration = "300s"
        severity = "CRITICAL"
      }
      spot = {
        title    = "spot machines are being taken away"
        query    = "sum by (pool) (increase(tightrope_spot_notices_total{${local.ours}}[15m])) > 0"
        duration = "0s"
        severity = "WARNING"
      }
      held = {
        title    = "requests wait for a pool that has no machine"
        query    = "max by (pool) (tightrope_held_requests{${local.ours}}) > 0"
        duration = "600s"
        severity = "CRITICAL"
      }
      busy = {
        title    = "a pool is used more than it sustains"
        query    = "max by (pool) (tightrope_utilisation_ratio{${local.ours}}) > ${var.utilisation.high}"
        duration = "600s"
        severity = "WARNING"
      }
      idle = {
        title    = "a pool is hardly used all day: plan again"
        query    = "max by (pool) (max_over_time(tightrope_utilisation_ratio{${local.ours}}[23h])) < ${var.utilisation.low}"
        duration = "600s"
        severity = "WARNING"
      }
    },
    # A promise may be broken for 1 - target of the requests; twice that over an hour eats what a fortnight has. Fewer than six are no sign.
    {
      for name, promise in var.promises : "promise-${name}" => {
        title    = "a promise is broken twice as often as it may be"
        query    = "sum(rate(tightrope_promises_total{class=${jsonencode(promise.traffic_class)},slo=${jsonencode(promise.slo)},kept=\"false\"}[1h])) / sum(rate(tightrope_promises_total{class=${jsonencode(promise.traffic_class)},slo=${jsonencode(promise.slo)}}[1h])) > ${2 * (1 - promise.target)} and round(sum(increase(tightrope_promises_total{class=${jsonencode(promise.traffic_class)},slo=${jsonencode(promise.slo)},kept=\"false\"}[1h]))) >= 6"
        duration = "300s"
        severity = "CRITICAL"
      }
    },
  )
}

resource "google_monitoring_alert_policy" "workload" {
  for_each = local.alerts

  display_name          = "${var.workload}: ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  user_labels           = local.labels

  conditions {
    display_name = each.value.title

    condition_prometheus_query_language {
      query                     = each.value.query
      duration                  = each.value.duration
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    content = join("\n\n", ["${var.workload}: ${each.value.title}.", "`${each.value.query}`"])
  }
}
