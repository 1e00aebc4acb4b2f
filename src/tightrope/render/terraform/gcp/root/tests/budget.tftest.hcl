# terraform test asks no cloud: the provider is mocked, and what is yours comes from example.auto.tfvars.json.

mock_provider "google" {}

run "budget" {
  command = plan

  assert {
    condition     = tonumber(google_billing_budget.workload[0].amount[0].specified_amount[0].units) == ceil(var.monthly_usd * 1.1)
    error_message = "The budget is not the planned cost and a tenth."
  }

  assert {
    condition     = length([for rule in google_billing_budget.workload[0].threshold_rules : rule if rule.spend_basis == "FORECASTED_SPEND"]) == 2
    error_message = "Nobody hears of a forecast above the budget."
  }

  assert {
    condition     = length(google_monitoring_notification_channel.email) == length(var.notify_emails)
    error_message = "Somebody hears of nothing."
  }
}
