# terraform test: the caps of container instances.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = {
      partition = "aws"
    }
  }
}

run "containers" {
  command = plan

  assert {
    condition     = alltrue([for key, pool in var.containers : aws_appautoscaling_target.pool[key].max_capacity == pool.most && aws_appautoscaling_target.pool[key].min_capacity >= pool.least && aws_appautoscaling_target.pool[key].min_capacity <= pool.most])
    error_message = "A service is not bounded as the plan bounds its pool."
  }

  assert {
    condition     = alltrue([for service in aws_ecs_service.pool : !service.network_configuration[0].assign_public_ip])
    error_message = "A container has a public address."
  }
}
