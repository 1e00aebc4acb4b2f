# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# One internal balancer a region. The gateway names the pool it chose in x-tightrope-pool; without one, x-tightrope-class shares a class
# among its pools as the plan does over the week.

variable "deletion_protection" {
  description = "Whether balancers and clusters can be deleted only after this is taken back."
  type        = bool
  default     = true
}

variable "drain_seconds" {
  description = "Time that requests on a machine have before it goes; of a spot machine at most the 120 s of its notice."
  type        = number
  default     = 90

  validation {
    condition     = var.drain_seconds >= 30 && var.drain_seconds <= 3600
    error_message = "drain_seconds is 30 to 3600."
  }
}

variable "access_log_bucket" {
  description = "Name of an S3 bucket for the balancers' access logs; null keeps none."
  type        = string
  default     = null
}

locals {
  # Machines stand behind the balancer where this root runs them itself; in a cluster, its services do that.
  grouped = { for key, pool in var.machines : key => pool if var.run_on == "vm" }

  # One target group an engine: engines of one machine listen from port 8000 upwards.
  targets = merge(
    merge([
      for key, pool in local.grouped : {
        for place, engine in pool.engines : (place == 0 ? key : "${key}/${place}") => {
          key = key, region = pool.region, port = 8000 + place, type = "instance", labels = pool.labels
        }
      }
    ]...),
    { for key, pool in var.containers : key => { key = key, region = pool.region, port = 8000, type = "ip", labels = pool.labels } },
  )
  balanced = toset([for target in local.targets : target.region])
  ports    = { for region in local.balanced : region => max([for target in local.targets : target.port if target.region == region]...) }

  routes = {
    for name, route in var.routes : name => {
      class   = route.class
      region  = route.region
      weights = { for key, target in local.targets : key => route.weights[target.key] if contains(keys(route.weights), target.key) }
    }
  }
}

# Closed: allowed_cidrs and allowed_security_groups open it to those alone.
resource "aws_security_group" "balancer" {
  for_each = local.balanced

  region      = each.key
  name_prefix = "balancer-${var.plan.name}-"
  description = "Balancer of ${var.plan.name}"
  vpc_id      = var.networks[each.key].vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "cidr" {
  for_each = { for pair in setproduct(local.balanced, var.allowed_cidrs) : "${pair[0]}/${pair[1]}" => { region = pair[0], cidr = pair[1] } }

  region            = each.value.region
  security_group_id = aws_security_group.balancer[each.value.region].id
  description       = "Requests from a network of the settings"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_ingress_rule" "group" {
  for_each = merge([
    for region in local.balanced : {
      for group in lookup(var.allowed_security_groups, region, []) : "${region}/${group}" => { region = region, group = group }
    }
  ]...)

  region                       = each.value.region
  security_group_id            = aws_security_group.balancer[each.value.region].id
  description                  = "Requests from a group of the settings"
  referenced_security_group_id = each.value.group
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  for_each = local.balanced

  region                       = each.key
  security_group_id            = aws_security_group.balancer[each.key].id
  description                  = "Requests to engines"
  referenced_security_group_id = aws_security_group.engine[each.key].id
  ip_protocol                  = "tcp"
  from_port                    = 8000
  to_port                      = local.ports[each.key]
}

resource "aws_security_group" "engine" {
  for_each = local.balanced

  region      = each.key
  name_prefix = "engine-${var.plan.name}-"
  description = "Engines of ${var.plan.name}"
  vpc_id      = var.networks[each.key].vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "engine" {
  for_each = local.balanced

  region                       = each.key
  security_group_id            = aws_security_group.engine[each.key].id
  description                  = "Requests from the balancer alone"
  referenced_security_group_id = aws_security_group.balancer[each.key].id
  ip_protocol                  = "tcp"
  from_port                    = 8000
  to_port                      = local.ports[each.key]
}

resource "aws_vpc_security_group_egress_rule" "engine" {
  for_each = local.balanced

  region            = each.key
  security_group_id = aws_security_group.engine[each.key].id
  description       = "Images, models, logs and metrics, over HTTPS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_lb" "pools" {
  #checkov:skip=CKV_AWS_91:access logs are kept where access_log_bucket names a bucket
  for_each = local.balanced

  region                     = each.key
  name                       = "pools-${var.plan.name}" # which may not begin with "internal-"
  internal                   = true
  load_balancer_type         = "application"
  security_groups            = [aws_security_group.balancer[each.key].id]
  subnets                    = var.networks[each.key].subnet_ids
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection
  idle_timeout               = 300

  dynamic "access_logs" {
    for_each = var.access_log_bucket == null ? [] : [var.access_log_bucket]

    content {
      bucket  = access_logs.value
      prefix  = "${var.plan.name}/${each.key}"
      enabled = true
    }
  }
}

resource "aws_lb_listener" "pools" {
  for_each = aws_lb.pools

  region            = each.key
  load_balancer_arn = each.value.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.networks[each.key].certificate_arn

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "name a pool in x-tightrope-pool, or a class in x-tightrope-class"
      status_code  = "404"
    }
  }
}

resource "aws_lb_target_group" "pool" {
  #checkov:skip=CKV_AWS_378:TLS ends at the balancer; engines take requests from its security group alone
  for_each = local.targets

  region                        = each.value.region
  name_prefix                   = "pool-"
  target_type                   = each.value.type
  protocol                      = "HTTP"
  port                          = each.value.port
  vpc_id                        = var.networks[each.value.region].vpc_id
  deregistration_delay          = var.drain_seconds
  load_balancing_algorithm_type = "least_outstanding_requests"
  tags                          = each.value.labels

  health_check {
    path                = local.images[each.value.key].health_path
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
    matcher             = "200"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener_rule" "pool" {
  for_each = toset([for target in local.targets : target.key])

  region       = merge(local.grouped, var.containers)[each.key].region
  listener_arn = aws_lb_listener.pools[merge(local.grouped, var.containers)[each.key].region].arn

  condition {
    http_header {
      http_header_name = "x-tightrope-pool"
      values           = [each.key]
    }
  }

  action {
    type = "forward"

    forward {
      dynamic "target_group" {
        for_each = { for name, target in local.targets : name => target if target.key == each.key }

        content {
          arn    = aws_lb_target_group.pool[target_group.key].arn
          weight = 1
        }
      }
    }
  }
}

resource "aws_lb_listener_rule" "class" {
  for_each = { for name, route in local.routes : name => route if length(route.weights) > 0 }

  region       = each.value.region
  listener_arn = aws_lb_listener.pools[each.value.region].arn

  condition {
    http_header {
      http_header_name = "x-tightrope-class"
      values           = [each.value.class]
    }
  }

  action {
    type = "forward"

    forward {
      dynamic "target_group" {
        for_each = each.value.weights

        content {
          arn    = aws_lb_target_group.pool[target_group.key].arn
          weight = target_group.value
        }
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  for_each = local.targets

  region              = each.value.region
  alarm_name          = "${var.plan.name} ${each.key} errors"
  alarm_description   = "More than 1 % of the answers of five minutes are errors of the engine."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0.01
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms[each.value.region].arn]
  ok_actions          = [aws_sns_topic.alarms[each.value.region].arn]
  tags                = each.value.labels

  metric_query {
    id          = "share"
    expression  = "FILL(errors, 0) / requests"
    label       = "share of errors"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { errors = "HTTPCode_Target_5XX_Count", requests = "RequestCount" }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        period      = 300
        stat        = "Sum"

        dimensions = {
          LoadBalancer = aws_lb.pools[each.value.region].arn_suffix
          TargetGroup  = aws_lb_target_group.pool[each.key].arn_suffix
        }
      }
    }
  }
}

output "balancers" {
  description = "Region => name of the balancer, to which your own name with a certificate points."
  value       = { for region, balancer in aws_lb.pools : region => balancer.dns_name }
}
