# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# terraform test: what must hold of this root, whatever the plan. It asks no cloud; networks and images are examples (example.auto.tfvars.json).

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = {
      partition = "aws"
    }
  }
}

run "budget" {
  command = plan

  assert {
    condition     = tonumber(aws_budgets_budget.month.limit_amount) >= var.plan.usd_per_month && tonumber(aws_budgets_budget.month.limit_amount) <= 1 + 1.1 * var.plan.usd_per_month
    error_message = "The budget is not the plan's bill and its margin."
  }

  assert {
    condition     = length([for notice in aws_budgets_budget.month.notification : notice if notice.notification_type == "ACTUAL" && notice.threshold == 100]) == 1
    error_message = "Nobody hears when the budget is spent."
  }
}
