# What to hear of at once, for machines behind a balancer. Pods in a cluster are watched by Prometheus: the target `alerts`.

resource "aws_cloudwatch_metric_alarm" "slow" {
  for_each = { for key, pool in local.grouped : key => pool if pool.slow != null }

  region              = each.value.region
  alarm_name          = "${var.plan.name} ${each.key} slow"
  alarm_description   = "Slower, for a quarter of an hour, than the longest limit that was promised to what the pool answers; of a stream, to its first part."
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.slow.limit_s
  evaluation_periods  = 15
  datapoints_to_alarm = 10
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms[each.value.region].arn]
  ok_actions          = [aws_sns_topic.alarms[each.value.region].arn]
  namespace           = "AWS/ApplicationELB"
  metric_name         = "TargetResponseTime"
  period              = 60
  extended_statistic  = "p${each.value.slow.percentile}"
  tags                = each.value.labels

  dimensions = {
    LoadBalancer = aws_lb.pools[each.value.region].arn_suffix
    TargetGroup  = aws_lb_target_group.pool[each.key].arn_suffix
  }

  evaluate_low_sample_count_percentiles = "ignore"
}

# Utilisation, in both directions: for a quarter of an hour over what machines are steered to, or all day so far below what was planned that
# money is lost.
locals {
  watched = merge([
    for key, pool in local.scaled : merge(
      {
        "${key} full" = {
          key  = key, comparison = "GreaterThanThreshold", requests_per_s = 1.1 * pool.requests_per_s, period = 60, periods = 15
          said = "More requests a machine, for a quarter of an hour, than it is steered to: the group is at its most, or machines do not come."
        }
      },
      pool.usual_requests_per_s == 0 ? {} : {
        "${key} idle" = {
          key  = key, comparison = "LessThanThreshold", requests_per_s = 0.25 * pool.usual_requests_per_s, period = 3600, periods = 24
          said = "Less than a quarter, all day, of the requests a machine that were planned for: plan again with newer traffic."
        }
      },
    )
  ]...)
}

resource "aws_cloudwatch_metric_alarm" "load" {
  for_each = local.watched

  region              = var.machines[each.value.key].region
  alarm_name          = "${var.plan.name} ${each.key}"
  alarm_description   = each.value.said
  comparison_operator = each.value.comparison
  threshold           = 60 * each.value.requests_per_s
  evaluation_periods  = each.value.periods
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms[var.machines[each.value.key].region].arn]
  ok_actions          = [aws_sns_topic.alarms[var.machines[each.value.key].region].arn]
  tags                = var.machines[each.value.key].labels

  # A minute's mean, whatever the period: none where the group has no machine.
  metric_query {
    id          = "load"
    expression  = "(${join(" + ", [for id in keys(local.counted[each.value.key]) : "FILL(${id}, 0)"])}) / (machines * ${each.value.period / 60})"
    label       = "requests a machine and minute"
    return_data = true
  }

  metric_query {
    id = "machines"

    metric {
      namespace   = "AWS/AutoScaling"
      metric_name = "GroupInServiceInstances"
      dimensions  = { AutoScalingGroupName = aws_autoscaling_group.pool[each.value.key].name }
      period      = each.value.period
      stat        = "Average"
    }
  }

  dynamic "metric_query" {
    for_each = local.counted[each.value.key]

    content {
      id = metric_query.key

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.metric
        dimensions  = metric_query.value.dimensions
        period      = each.value.period
        stat        = "Sum"
      }
    }
  }
}

# Spot machines that are about to be taken. The notice names a machine and no group: all of the account's in the region are told of.
locals {
  spot_regions = toset([for pool in var.machines : pool.region if pool.spot])
}

resource "aws_cloudwatch_event_rule" "spot" {
  for_each = local.spot_regions

  region      = each.key
  name        = "${var.plan.name}-spot-notices"
  description = "A spot machine is taken away in two minutes"

  event_pattern = jsonencode({
    source      = ["aws.ec2"]
    detail-type = ["EC2 Spot Instance Interruption Warning"]
  })
}

resource "aws_cloudwatch_event_target" "spot" {
  for_each = local.spot_regions

  region = each.key
  rule   = aws_cloudwatch_event_rule.spot[each.key].name
  arn    = aws_sns_topic.alarms[each.key].arn
}
