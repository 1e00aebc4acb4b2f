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
