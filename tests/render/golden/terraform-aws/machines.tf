# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# Pools of machines: a launch template and an Auto Scaling group each, under the name that the plan gives the pool.

variable "also_types" {
  description = "Pool => further machine types that a spot pool may take where they are no dearer and run the same image, in order."
  type        = map(list(string))
  default     = {}
}

variable "on_demand_base" {
  description = "Pool => machines of a spot pool that are always on demand. The plan has none: they cost more."
  type        = map(number)
  default     = {}
}

variable "amis" {
  description = "Pool => machine image of your own instead of Amazon's (it needs Docker, and the driver of its accelerators)."
  type        = map(string)
  default     = {}
}

locals {
  # Amazon's newest images with Docker and drivers: those for ECS (whose agent is not started), and the Deep Learning base image for Graviton
  # machines with GPUs, which ECS has none for.
  amis = {
    amd64     = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
    arm64     = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id"
    gpu       = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id"
    neuron    = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/neuron/recommended/image_id"
    gpu-arm64 = "resolve:ssm:/aws/service/deeplearning/ami/arm64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
  }

  # What a machine does when it starts: commands as lists, so that no shell ever reads a value. Engines use the machine's own network, because
  # with a hop limit of 1 a container with a network of its own could not ask for the machine's credentials.
  starts = {
    for key, pool in local.grouped : key => {
      write_files = local.registries[key] == null ? [] : [{
        path    = "/root/.docker/config.json"
        content = jsonencode({ credHelpers = { (local.registries[key]) = "ecr-login" } })
      }]
      runcmd = concat(
        [["systemctl", "mask", "--now", "--no-block", "ecs.service"], ["systemctl", "enable", "--now", "docker"]],
        local.registries[key] == null ? [] : [["dnf", "install", "-y", "amazon-ecr-credential-helper"]],
        [for place, engine in pool.engines : concat(
          ["docker", "run", "--detach", "--restart=always", "--name=engine-${place}", "--network=host"],
          length(engine.accelerators) > 1 ? ["--ipc=host"] : [],
          ["--stop-timeout=${var.drain_seconds}", "--env=PORT=${8000 + place}"],
          ["--log-driver=awslogs", "--log-opt=awslogs-region=${pool.region}", "--log-opt=awslogs-group=/tightrope/${var.plan.name}/${key}"],
          length(engine.accelerators) == 0 ? [] : (
            pool.image_kind == "neuron" ?
            [for device in engine.accelerators : "--device=/dev/neuron${device}"] :
            ["--gpus=\"device=${join(",", engine.accelerators)}\""]
          ),
          [for name, value in merge(pool.environment, local.images[key].environment) : "--env=${name}=${value}"],
          [local.images[key].image],
          local.images[key].arguments,
          engine.arguments,
        )],
      )
    }
  }

  schedules = merge([
    for key, pool in var.machines : { for name, entry in pool.schedule : "${key} ${name}" => merge(entry, { pool = key }) if !local.expired }
  ]...)
}

resource "aws_iam_role" "machines" {
  name_prefix = "${var.plan.name}-"
  description = "Machines of ${var.plan.name}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "machines" {
  #checkov:skip=CKV_AWS_355:ecr:GetAuthorizationToken and cloudwatch:PutMetricData take no other resource; the latter is bound to one namespace
  #checkov:skip=CKV_AWS_290:the same two actions
  name = "engines"
  role = aws_iam_role.machines.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.may_pull, local.may_read_models, [
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [for key in keys(var.machines) : "${aws_cloudwatch_log_group.pool[key].arn}:*"]
      },
      {
        Effect    = "Allow"
        Action    = "cloudwatch:PutMetricData"
        Resource  = "*" # the action takes no other
        Condition = { StringEquals = { "cloudwatch:namespace" = coalesce(var.gateway_namespace, "Tightrope") } }
      },
    ])
  })
}

resource "aws_iam_instance_profile" "machines" {
  name_prefix = "${var.plan.name}-"
  role        = aws_iam_role.machines.name
}

resource "aws_launch_template" "pool" {
  for_each = local.grouped

  region                 = each.value.region
  name                   = "${var.plan.name}-${each.key}"
  description            = "Machines of the pool ${each.key}"
  image_id               = lookup(var.amis, each.key, local.amis[each.value.image_kind])
  instance_type          = each.value.machine
  update_default_version = true
  ebs_optimized          = true
  vpc_security_group_ids = [aws_security_group.engine[each.value.region].id]
  user_data              = base64encode("#cloud-config\n${jsonencode(local.starts[each.key])}\n")
  tags                   = each.value.labels

  iam_instance_profile {
    arn = aws_iam_instance_profile.machines.arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.plan.disk_gb
      encrypted             = true
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])

    content {
      resource_type = tag_specifications.value
      tags          = merge(local.tags, each.value.labels, { Name = "${var.plan.name}-${each.key}" })
    }
  }
}

resource "aws_autoscaling_group" "pool" {
  for_each = local.grouped

  region                    = each.value.region
  name                      = "${var.plan.name}-${each.key}"
  min_size                  = local.floors[each.key]
  max_size                  = local.mosts[each.key]
  vpc_zone_identifier       = var.networks[each.value.region].subnet_ids
  target_group_arns         = [for name, target in local.targets : aws_lb_target_group.pool[name].arn if target.key == each.key]
  health_check_type         = "ELB"
  health_check_grace_period = 2 * ceil(each.value.start_s)
  default_instance_warmup   = ceil(each.value.start_s)
  capacity_rebalance        = each.value.spot
  enabled_metrics           = ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupMaxSize", "GroupMinSize"]
  wait_for_capacity_timeout = "0"

  mixed_instances_policy {
    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.pool[each.key].id
        version            = aws_launch_template.pool[each.key].latest_version
      }

      dynamic "override" {
        for_each = concat([each.value.machine], each.value.spot ? lookup(var.also_types, each.key, []) : [])

        content {
          instance_type = override.value
        }
      }
    }

    instances_distribution {
      on_demand_allocation_strategy            = "prioritized"
      on_demand_base_capacity                  = each.value.spot ? lookup(var.on_demand_base, each.key, 0) : 0
      on_demand_percentage_above_base_capacity = each.value.spot ? 0 : 100
      spot_allocation_strategy                 = "price-capacity-optimized"
    }
  }

  # The balancer lets a machine's requests end first, for drain_seconds; this is for the last lines of its engines' logs.
  initial_lifecycle_hook {
    name                 = "drain"
    lifecycle_transition = "autoscaling:EC2_INSTANCE_TERMINATING"
    heartbeat_timeout    = 30
    default_result       = "CONTINUE"
  }

  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 110
      auto_rollback          = false # a launch template whose image is the newest of its kind can not be rolled back by itself
      skip_matching          = true
    }
  }

  dynamic "tag" {
    for_each = merge(local.tags, each.value.labels)

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = false # the launch template tags machines, volumes and network interfaces
    }
  }

  lifecycle {
    ignore_changes = [desired_capacity] # which the schedule and the autoscaler change
  }
}

# The week: the floor of every hour, asked for as long before as machines take to start. What is above it, the autoscaler takes away itself.
resource "aws_autoscaling_schedule" "pool" {
  for_each = { for name, entry in local.schedules : name => entry if var.run_on == "vm" }

  region                 = var.machines[each.value.pool].region
  autoscaling_group_name = aws_autoscaling_group.pool[each.value.pool].name
  scheduled_action_name  = each.key
  recurrence             = each.value.cron
  time_zone              = "Etc/UTC"
  min_size               = each.value.machines
  max_size               = var.machines[each.value.pool].most
  desired_capacity       = var.machines[each.value.pool].requests_per_s > 0 ? -1 : each.value.machines
  end_time               = local.expiry

  lifecycle {
    ignore_changes = [start_time] # AWS writes the next time there
  }
}

resource "aws_autoscaling_schedule" "expiry" {
  for_each = local.expiry == null || local.expired ? {} : local.grouped

  region                 = each.value.region
  autoscaling_group_name = aws_autoscaling_group.pool[each.key].name
  scheduled_action_name  = "expired"
  start_time             = local.expiry
  min_size               = 0
  max_size               = 0
  desired_capacity       = 0
}

# Requests a machine and minute, kept at what the plan steers a machine to: counted by the gateway, or else by the balancer. Where nothing is
# counted nothing was asked, so that a group goes down to its floor at night.
locals {
  counted = {
    for key, pool in local.grouped : key => var.gateway_namespace == null ? {
      for name, target in local.targets : "requests${target.port}" => {
        namespace = "AWS/ApplicationELB"
        metric    = "RequestCount"
        dimensions = {
          LoadBalancer = aws_lb.pools[target.region].arn_suffix
          TargetGroup  = aws_lb_target_group.pool[name].arn_suffix
        }
      } if target.key == key
      } : {
      requests8000 = { namespace = var.gateway_namespace, metric = "tightrope_arrivals_total", dimensions = { pool = pool.pool } }
    }
  }
  scaled = { for key, pool in local.grouped : key => pool if pool.requests_per_s > 0 }
  loads  = { for key, sources in local.counted : key => "IF(machines > 0, (${join(" + ", [for id in keys(sources) : "FILL(${id}, 0)"])}) / machines, 0)" }
}

resource "aws_autoscaling_policy" "requests" {
  for_each = local.scaled

  region                    = each.value.region
  name                      = "requests"
  autoscaling_group_name    = aws_autoscaling_group.pool[each.key].name
  policy_type               = "TargetTrackingScaling"
  estimated_instance_warmup = ceil(each.value.start_s)

  target_tracking_configuration {
    target_value = 60 * each.value.requests_per_s

    customized_metric_specification {
      metrics {
        id          = "load"
        label       = "requests a machine and minute"
        expression  = local.loads[each.key]
        return_data = true
      }

      metrics {
        id          = "machines"
        return_data = false

        metric_stat {
          stat = "Average"

          metric {
            namespace   = "AWS/AutoScaling"
            metric_name = "GroupInServiceInstances"

            dimensions {
              name  = "AutoScalingGroupName"
              value = aws_autoscaling_group.pool[each.key].name
            }
          }
        }
      }

      dynamic "metrics" {
        for_each = local.counted[each.key]

        content {
          id          = metrics.key
          return_data = false

          metric_stat {
            stat = "Sum"

            metric {
              namespace   = metrics.value.namespace
              metric_name = metrics.value.metric

              dynamic "dimensions" {
                for_each = metrics.value.dimensions

                content {
                  name  = dimensions.key
                  value = dimensions.value
                }
              }
            }
          }
        }
      }
    }
  }
}

# From zero: the gateway holds a request that finds no machine, and the first machine is started for it.
resource "aws_autoscaling_policy" "from_zero" {
  for_each = var.gateway_namespace == null ? {} : { for key, pool in local.grouped : key => pool if pool.from_zero }

  region                    = each.value.region
  name                      = "from-zero"
  autoscaling_group_name    = aws_autoscaling_group.pool[each.key].name
  policy_type               = "StepScaling"
  adjustment_type           = "ChangeInCapacity"
  estimated_instance_warmup = ceil(each.value.start_s)

  step_adjustment {
    metric_interval_lower_bound = 0
    scaling_adjustment          = 1
  }
}

resource "aws_cloudwatch_metric_alarm" "held" {
  for_each = aws_autoscaling_policy.from_zero

  region              = var.machines[each.key].region
  alarm_name          = "${var.plan.name} ${each.key} held"
  alarm_description   = "Requests wait for a machine of a pool that has none: one is started."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [each.value.arn]
  namespace           = var.gateway_namespace
  metric_name         = "tightrope_held_requests"
  dimensions          = { pool = var.machines[each.key].pool }
  period              = 60
  statistic           = "Maximum"
}

output "groups" {
  description = "Pool => its Auto Scaling group."
  value       = { for key, group in aws_autoscaling_group.pool : key => group.name }
}
