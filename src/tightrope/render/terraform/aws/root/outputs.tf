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
