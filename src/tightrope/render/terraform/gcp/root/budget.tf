# A budget on what carries the workload's label, in the billing account's currency. Google finds anomalies of a project by itself, and shows
# them under Billing > Anomalies: there is nothing to switch on, and no resource of Terraform for it. The alerts cover the hour.

resource "google_billing_budget" "workload" {
  count = var.billing_account == null ? 0 : 1

  billing_account = var.billing_account
  display_name    = "${var.workload} as planned"

  budget_filter {
    projects = ["projects/${data.google_project.this.number}"]
    labels   = { workload = var.workload }
  }

  amount {
    specified_amount {
      currency_code = var.currency
      units         = tostring(ceil(var.monthly_usd * (1 + var.margin) * var.usd_rate))
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.8, 1.0]

    content {
      spend_basis       = "FORECASTED_SPEND"
      threshold_percent = threshold_rules.value
    }
  }

  threshold_rules {
    spend_basis       = "CURRENT_SPEND"
    threshold_percent = 1.0
  }

  all_updates_rule {
    monitoring_notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]
    disable_default_iam_recipients   = false
  }
}

data "google_project" "this" {
  project_id = var.project_id
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.notify_emails)

  display_name = each.key
  type         = "email"
  labels       = { email_address = each.key }
  user_labels  = local.labels
}

output "monthly_budget" {
  description = "What a month may cost, in the billing account's currency."
  value       = ceil(var.monthly_usd * (1 + var.margin) * var.usd_rate)
}
