# Money: a budget above what the plan costs, and a word when the subscription's cost looks unusual.

resource "azurerm_consumption_budget_subscription" "workload" {
  name            = var.workload
  subscription_id = data.azurerm_subscription.current.id
  amount          = max(1, ceil(var.usd_per_month * (1 + var.margin)))
  time_grain      = "Monthly"

  # Azure asks for the first day of a month that is not over.
  time_period {
    start_date = formatdate("YYYY-MM-01'T'00:00:00Z", plantimestamp())
  }

  filter {
    tag {
      name   = "workload"
      values = [var.workload_label]
    }
  }

  dynamic "notification" {
    for_each = [
      { percent = 80, type = "Forecasted" },
      { percent = 100, type = "Forecasted" },
      { percent = 100, type = "Actual" },
    ]

    content {
      operator       = "GreaterThanOrEqualTo"
      threshold      = notification.value.percent
      threshold_type = notification.value.type
      contact_emails = var.notify_emails
    }
  }

  lifecycle {
    ignore_changes = [time_period]
  }
}

# Azure watches a subscription as a whole: this one hears of other workloads' anomalies too.
resource "azurerm_cost_anomaly_alert" "subscription" {
  name            = "${var.workload}-cost-anomaly"
  display_name    = "Cost anomaly where ${var.workload} runs"
  subscription_id = data.azurerm_subscription.current.id
  email_subject   = "Cost anomaly where ${var.workload} runs"
  email_addresses = var.notify_emails
}
