# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# Who hears of what, and what the month may cost.

resource "aws_sns_topic" "alarms" {
  for_each = local.regions

  region            = each.key
  name              = "${var.plan.name}-alarms"
  kms_master_key_id = aws_kms_key.this[each.key].arn
}

resource "aws_sns_topic_policy" "alarms" {
  for_each = aws_sns_topic.alarms

  region = each.key
  arn    = each.value.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = each.value.arn
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
      {
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" } # which takes no condition here
        Action    = "sns:Publish"
        Resource  = each.value.arn
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = { for pair in setproduct(var.plan.regions, var.notify_emails) : "${pair[0]}/${pair[1]}" => { region = pair[0], email = pair[1] } }

  region    = each.value.region
  topic_arn = aws_sns_topic.alarms[each.value.region].arn
  protocol  = "email"
  endpoint  = each.value.email
}

locals {
  budget_usd = max(1, ceil(var.plan.usd_per_month * (1 + var.margin)))
}

resource "aws_budgets_budget" "month" {
  name         = "${var.plan.name}-month"
  budget_type  = "COST"
  limit_amount = tostring(local.budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:workload$%s", var.plan.workload_label)]
  }

  dynamic "notification" {
    for_each = { "80 % forecast" = ["FORECASTED", 80], "100 % forecast" = ["FORECASTED", 100], "100 % spent" = ["ACTUAL", 100] }

    content {
      notification_type          = notification.value[0]
      threshold                  = notification.value[1]
      threshold_type             = "PERCENTAGE"
      comparison_operator        = "GREATER_THAN"
      subscriber_email_addresses = var.notify_emails
    }
  }
}

resource "aws_ce_anomaly_monitor" "workload" {
  name         = "${var.plan.name}-costs"
  monitor_type = "CUSTOM"

  monitor_specification = jsonencode({
    And            = null
    CostCategories = null
    Dimensions     = null
    Not            = null
    Or             = null
    Tags           = { Key = "user:workload", MatchOptions = null, Values = [var.plan.workload_label] }
  })
}

resource "aws_ce_anomaly_subscription" "workload" {
  name             = "${var.plan.name}-costs"
  frequency        = "DAILY"
  monitor_arn_list = [aws_ce_anomaly_monitor.workload.arn]

  dynamic "subscriber" {
    for_each = toset(var.notify_emails)

    content {
      type    = "EMAIL"
      address = subscriber.value
    }
  }

  threshold_expression {
    dimension {
      key           = "ANOMALY_TOTAL_IMPACT_ABSOLUTE"
      match_options = ["GREATER_THAN_OR_EQUAL"]
      values        = [tostring(var.anomaly_usd)]
    }
  }
}

resource "aws_ce_cost_allocation_tag" "active" {
  for_each = var.activate_cost_tags ? toset(["workload", "pool", "model", "variant", "offer", "managed-by", "team", "environment", "cost-centre"]) : toset([])

  tag_key = each.key
  status  = "Active"
}

# The gateway's own judgement of every promise, where its metrics come to CloudWatch.
resource "aws_cloudwatch_metric_alarm" "promise" {
  for_each = var.gateway_namespace == null ? {} : var.promises

  region              = each.value.region
  alarm_name          = "${var.plan.name} promise ${each.key}"
  alarm_description   = "Fewer requests than promised kept their limit for an hour."
  comparison_operator = "LessThanThreshold"
  threshold           = each.value.target
  evaluation_periods  = 4
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms[each.value.region].arn]
  ok_actions          = [aws_sns_topic.alarms[each.value.region].arn]

  metric_query {
    id          = "share"
    expression  = "FILL(kept, 0) / (FILL(kept, 0) + FILL(missed, 0))"
    label       = "share kept"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { kept = "true", missed = "false" }

    content {
      id = metric_query.key

      metric {
        namespace   = var.gateway_namespace
        metric_name = "tightrope_promises_total"
        dimensions  = { class = each.value.class, slo = each.value.slo, kept = metric_query.value }
        period      = 900
        stat        = "Sum"
      }
    }
  }
}
