# Pools of container instances: a Fargate service each, behind the balancer of its region.

locals {
  container_schedules = merge([
    for key, pool in var.containers : { for name, entry in pool.schedule : "${key} ${name}" => merge(entry, { pool = key }) if !local.expired }
  ]...)
}

resource "aws_ecs_cluster" "containers" {
  #checkov:skip=CKV_AWS_65:every metric of Container Insights is billed; those of a service and its balancer, which scaling follows, are not
  for_each = toset([for pool in var.containers : pool.region])

  region = each.key
  name   = "${var.plan.name}-containers"

  setting {
    name  = "containerInsights"
    value = "disabled"
  }
}

# Starts the container: its image and its log.
resource "aws_iam_role" "container_start" {
  name_prefix = "${var.plan.name}-start-"
  description = "Starts containers of ${var.plan.name}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "container_start" {
  #checkov:skip=CKV_AWS_355:ecr:GetAuthorizationToken takes no other resource
  #checkov:skip=CKV_AWS_290:the same action
  name = "start"
  role = aws_iam_role.container_start.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.may_pull, [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = [for key in keys(var.containers) : "${aws_cloudwatch_log_group.pool[key].arn}:*"]
    }])
  })
}

# What runs in it: the models alone.
resource "aws_iam_role" "container" {
  name_prefix = "${var.plan.name}-task-"
  description = "Containers of ${var.plan.name}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "container" {
  count = length(local.may_read_models) > 0 ? 1 : 0

  name   = "models"
  role   = aws_iam_role.container.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.may_read_models })
}

resource "aws_ecs_task_definition" "pool" {
  #checkov:skip=CKV_AWS_336:an engine writes its cache beside its code; what it keeps goes with it
  for_each = var.containers

  region                   = each.value.region
  family                   = "${var.plan.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu
  memory                   = each.value.memory_mib
  execution_role_arn       = aws_iam_role.container_start.arn
  task_role_arn            = aws_iam_role.container.arn
  tags                     = each.value.labels

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = each.value.architecture
  }

  container_definitions = jsonencode([{
    name         = "engine"
    image        = local.images[each.key].image
    command      = concat(local.images[each.key].arguments, each.value.arguments)
    essential    = true
    stopTimeout  = min(120, var.drain_seconds)
    portMappings = [{ containerPort = 8000, protocol = "tcp" }]
    environment  = [for name, value in merge({ PORT = "8000" }, each.value.environment, local.images[each.key].environment) : { name = name, value = value }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = "/tightrope/${var.plan.name}/${each.key}"
        awslogs-region        = each.value.region
        awslogs-stream-prefix = "engine"
      }
    }
  }])
}

resource "aws_ecs_service" "pool" {
  for_each = var.containers

  region                             = each.value.region
  name                               = each.key
  cluster                            = aws_ecs_cluster.containers[each.value.region].arn
  task_definition                    = aws_ecs_task_definition.pool[each.key].arn
  desired_count                      = local.floors[each.key]
  launch_type                        = "FARGATE"
  platform_version                   = "LATEST"
  health_check_grace_period_seconds  = 2 * ceil(each.value.start_s)
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  tags                               = merge(local.tags, each.value.labels)

  network_configuration {
    subnets          = var.networks[each.value.region].subnet_ids
    security_groups  = [aws_security_group.engine[each.value.region].id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.pool[each.key].arn
    container_name   = "engine"
    container_port   = 8000
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  lifecycle {
    ignore_changes = [desired_count] # which the schedule and the autoscaler change
  }

  depends_on = [aws_lb_listener_rule.pool]
}

resource "aws_appautoscaling_target" "pool" {
  for_each = var.containers

  region             = each.value.region
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.containers[each.value.region].name}/${aws_ecs_service.pool[each.key].name}"
  min_capacity       = local.floors[each.key]
  max_capacity       = local.mosts[each.key]
  tags               = each.value.labels
}

resource "aws_appautoscaling_scheduled_action" "pool" {
  for_each = local.container_schedules

  region             = var.containers[each.value.pool].region
  name               = each.key
  service_namespace  = aws_appautoscaling_target.pool[each.value.pool].service_namespace
  scalable_dimension = aws_appautoscaling_target.pool[each.value.pool].scalable_dimension
  resource_id        = aws_appautoscaling_target.pool[each.value.pool].resource_id
  schedule           = each.value.cron
  timezone           = "UTC"
  end_time           = local.expiry

  scalable_target_action {
    min_capacity = each.value.machines
    max_capacity = var.containers[each.value.pool].most
  }
}

resource "aws_appautoscaling_scheduled_action" "expiry" {
  for_each = local.expiry == null || local.expired ? {} : var.containers

  region             = each.value.region
  name               = "expired"
  service_namespace  = aws_appautoscaling_target.pool[each.key].service_namespace
  scalable_dimension = aws_appautoscaling_target.pool[each.key].scalable_dimension
  resource_id        = aws_appautoscaling_target.pool[each.key].resource_id
  schedule           = "at(${var.expires_on}T00:00:00)"
  timezone           = "UTC"

  scalable_target_action {
    min_capacity = 0
    max_capacity = 0
  }
}

resource "aws_appautoscaling_policy" "requests" {
  for_each = { for key, pool in var.containers : key => pool if pool.requests_per_s > 0 }

  region             = each.value.region
  name               = "requests"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.pool[each.key].service_namespace
  scalable_dimension = aws_appautoscaling_target.pool[each.key].scalable_dimension
  resource_id        = aws_appautoscaling_target.pool[each.key].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = 60 * each.value.requests_per_s
    scale_in_cooldown  = 300
    scale_out_cooldown = ceil(each.value.start_s)

    predefined_metric_specification {
      predefined_metric_type = "ALBRequestCountPerTarget"
      resource_label         = "${aws_lb.pools[each.value.region].arn_suffix}/${aws_lb_target_group.pool[each.key].arn_suffix}"
    }
  }
}

output "services" {
  description = "Pool => its service."
  value       = { for key, service in aws_ecs_service.pool : key => service.name }
}
