# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# terraform test: the caps of functions.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = {
      partition = "aws"
    }
  }
}

run "functions" {
  command = plan

  assert {
    condition     = alltrue([for key, pool in var.functions : aws_lambda_function.pool[key].reserved_concurrent_executions >= 1 && aws_lambda_function.pool[key].reserved_concurrent_executions <= pool.most])
    error_message = "A function may answer more at one time than the plan's most."
  }

  assert {
    condition     = alltrue([for key, pool in var.functions : aws_lambda_function.pool[key].memory_size == pool.memory_mib])
    error_message = "A function is not of the plan's size."
  }
}
