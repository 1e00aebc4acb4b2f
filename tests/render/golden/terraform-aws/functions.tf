# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# Pools of function instances: a Lambda function each, from a container image, paid by the request.

variable "function_timeout_s" {
  description = "Longest time of one request to a function."
  type        = number
  default     = 60

  validation {
    condition     = var.function_timeout_s >= 1 && var.function_timeout_s <= 900
    error_message = "function_timeout_s is 1 to 900."
  }
}

variable "function_quota" {
  description = "Requests that functions of the account may answer at one time, per region (quota \"Concurrent executions\"). 100 of them stay free, as Amazon demands."
  type        = number
  default     = 1000

  validation {
    condition     = var.function_quota > 100
    error_message = "of a quota of 100 or fewer nothing can be kept for a function: ask for more."
  }
}

resource "aws_iam_role" "functions" {
  for_each = var.functions

  name_prefix = "${var.plan.name}-fn-"
  description = "Function of the pool ${each.key}"
  tags        = each.value.labels

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "functions" {
  #checkov:skip=CKV_AWS_355:the actions of X-Ray take no other resource
  #checkov:skip=CKV_AWS_290:the same actions
  for_each = var.functions

  name = "engine"
  role = aws_iam_role.functions[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.may_read_models, [
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.pool[each.key].arn}:*"
      },
      {
        Effect   = "Allow"
        Action   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
        Resource = "*" # the actions take no other
      },
    ])
  })
}

resource "aws_lambda_function" "pool" {
  #checkov:skip=CKV_AWS_116:who asks waits for the answer, so that nothing is left to put into a queue
  #checkov:skip=CKV_AWS_117:it asks nothing of the network but its models' bucket; in a network it would need gateways that the plan does not pay for
  #checkov:skip=CKV_AWS_173:what it is told holds no secrets
  #checkov:skip=CKV_AWS_272:a container image can not be signed this way
  for_each = var.functions

  region                         = each.value.region
  function_name                  = "${var.plan.name}-${each.key}"
  description                    = "Pool ${each.key}"
  role                           = aws_iam_role.functions[each.key].arn
  package_type                   = "Image"
  image_uri                      = local.images[each.key].image
  architectures                  = [each.value.architecture]
  memory_size                    = each.value.memory_mib
  timeout                        = var.function_timeout_s
  reserved_concurrent_executions = min(each.value.most, var.function_quota - 100)
  publish                        = true
  tags                           = each.value.labels

  dynamic "image_config" {
    for_each = length(local.images[each.key].arguments) > 0 ? [local.images[each.key].arguments] : []

    content {
      command = image_config.value
    }
  }

  environment {
    variables = merge(each.value.environment, local.images[each.key].environment)
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.pool[each.key].name
  }

  tracing_config {
    mode = "Active"
  }
}

# What the gateway invokes, so that a new version can be taken back.
resource "aws_lambda_alias" "live" {
  for_each = var.functions

  region           = each.value.region
  name             = "live"
  description      = "The version that answers"
  function_name    = aws_lambda_function.pool[each.key].function_name
  function_version = aws_lambda_function.pool[each.key].version
}

resource "aws_cloudwatch_metric_alarm" "functions" {
  for_each = merge([
    for key, pool in var.functions : {
      "${key} errors"  = { key = key, metric = "Errors", said = "A function fails." }
      "${key} refused" = { key = key, metric = "Throttles", said = "More is asked at one time than the plan's most: requests are refused." }
    }
  ]...)

  region              = var.functions[each.value.key].region
  alarm_name          = "${var.plan.name} ${each.key}"
  alarm_description   = each.value.said
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  dimensions          = { FunctionName = aws_lambda_function.pool[each.value.key].function_name }
  period              = 300
  statistic           = "Sum"
  alarm_actions       = [aws_sns_topic.alarms[var.functions[each.value.key].region].arn]
  tags                = var.functions[each.value.key].labels
}

output "functions" {
  description = "Pool => the alias to invoke; whoever does needs lambda:InvokeFunction on it."
  value       = { for key, alias in aws_lambda_alias.live : key => alias.arn }
}
