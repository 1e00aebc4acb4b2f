# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

output "budget_usd" {
  description = "What the month may cost: the plan's bill and the margin."
  value       = local.budget_usd
}

output "alarm_topics" {
  description = "Region => topic that alarms go to, for a channel of your own beside the emails."
  value       = { for region, topic in aws_sns_topic.alarms : region => topic.arn }
}

output "model_rights" {
  description = "What engines may read of the models."
  value       = local.may_read_models
}
