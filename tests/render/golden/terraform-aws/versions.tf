# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0, < 7.0"
    }
  }
}

# Every resource says its own region, so that one apply serves all of them; what has none (budgets, roles) is asked for in the first.
provider "aws" {
  region = var.plan.regions[0]

  default_tags {
    tags = local.tags
  }
}
