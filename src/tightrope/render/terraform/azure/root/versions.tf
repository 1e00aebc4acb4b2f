terraform {
  required_version = ">= 1.9"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.10"
    }
  }
}

# The subscription comes from ARM_SUBSCRIPTION_ID, or from `az login`: it is not written into any file.
provider "azurerm" {
  features {}
}

data "azurerm_subscription" "current" {}
