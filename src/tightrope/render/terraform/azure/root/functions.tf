# Pools of functions on Functions' Flex Consumption. The code is yours to publish (`func azure functionapp publish NAME`): a function is made
# of code and not of an image there.

variable "functions" {
  description = "Pools of functions by their names. `memory_mb` is the size that Azure sells from the plan's on; `most_at_once` is its cap."
  type = map(object({
    region       = string
    memory_mb    = number
    most_at_once = number
    variant      = string
    environment  = map(string)
    tags         = map(string)
  }))

  validation {
    condition     = alltrue([for pool in var.functions : contains([512, 2048, 4096], pool.memory_mb) && pool.most_at_once >= 40 && pool.most_at_once <= 1000])
    error_message = "Flex Consumption sells 512, 2048 and 4096 MB, and scales to 40 instances at least and 1000 at most."
  }
}

variable "function_runtime" {
  description = "What your functions are written in."
  type        = object({ name = string, version = string })
  default     = { name = "python", version = "3.12" }
}

variable "function_subnet_ids" {
  description = "Region => subnet delegated to Microsoft.App/environments, through which functions reach your network; none where not stated."
  type        = map(string)
  default     = {}
}

locals {
  # Names of apps and storage are the whole world's: made from the subscription's and the pool's.
  function_names = {
    for key, pool in var.functions : key => "t${substr(sha256("${data.azurerm_subscription.current.subscription_id}/${var.workload}/${key}"), 0, 20)}"
  }
}

resource "azurerm_service_plan" "function" {
  #checkov:skip=CKV_AZURE_212:Flex Consumption has no workers of its own; the platform keeps instances
  #checkov:skip=CKV_AZURE_225:Flex Consumption is paid by the request; zones are chosen by the platform
  for_each = var.functions

  name                = "${var.workload}-${each.key}"
  resource_group_name = azurerm_resource_group.region[each.value.region].name
  location            = each.value.region
  os_type             = "Linux"
  sku_name            = "FC1"
  tags                = merge(local.tags, each.value.tags)
}

resource "azurerm_storage_account" "function" {
  #checkov:skip=CKV_AZURE_206:holds the published code, which can be published again; the plan pays for one copy
  #checkov:skip=CKV_AZURE_33:no queue is used
  #checkov:skip=CKV_AZURE_59:functions reach it through the service's public name, with their identity and without any key
  #checkov:skip=CKV2_AZURE_1:encrypted with the platform's key; one of your own needs a key vault, which is not the plan's to make
  #checkov:skip=CKV2_AZURE_33:a private endpoint costs more than these functions; access is by identity alone
  for_each = var.functions

  name                            = local.function_names[each.key]
  resource_group_name             = azurerm_resource_group.region[each.value.region].name
  location                        = each.value.region
  account_tier                    = "Standard"
  account_replication_type        = "LRS"
  min_tls_version                 = "TLS1_2"
  https_traffic_only_enabled      = true
  shared_access_key_enabled       = false
  local_user_enabled              = false
  allow_nested_items_to_be_public = false
  default_to_oauth_authentication = true
  tags                            = merge(local.tags, each.value.tags)

  blob_properties {
    delete_retention_policy {
      days = 7
    }
  }

  sas_policy {
    expiration_period = "01.00:00:00"
    expiration_action = "Log"
  }
}

resource "azurerm_storage_container" "function" {
  #checkov:skip=CKV2_AZURE_21:holds the published code alone; who reads it is in the app's own log
  for_each = var.functions

  name                  = "code"
  storage_account_id    = azurerm_storage_account.function[each.key].id
  container_access_type = "private"
}

resource "azurerm_function_app_flex_consumption" "pool" {
  for_each = var.functions

  name                          = local.function_names[each.key]
  resource_group_name           = azurerm_resource_group.region[each.value.region].name
  location                      = each.value.region
  service_plan_id               = azurerm_service_plan.function[each.key].id
  runtime_name                  = var.function_runtime.name
  runtime_version               = var.function_runtime.version
  instance_memory_in_mb         = each.value.memory_mb
  maximum_instance_count        = each.value.most_at_once
  http_concurrency              = 1
  https_only                    = true
  client_certificate_enabled    = false
  public_network_access_enabled = true
  virtual_network_subnet_id     = lookup(var.function_subnet_ids, each.value.region, null)
  tags                          = merge(local.tags, each.value.tags)

  storage_container_type            = "blobContainer"
  storage_container_endpoint        = "${azurerm_storage_account.function[each.key].primary_blob_endpoint}${azurerm_storage_container.function[each.key].name}"
  storage_authentication_type       = "UserAssignedIdentity"
  storage_user_assigned_identity_id = azurerm_user_assigned_identity.replica.id

  webdeploy_publish_basic_authentication_enabled = false

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.replica.id]
  }

  app_settings = merge(each.value.environment, {
    AzureWebJobsStorage__accountName = azurerm_storage_account.function[each.key].name
    AzureWebJobsStorage__credential  = "managedidentity"
    AzureWebJobsStorage__clientId    = azurerm_user_assigned_identity.replica.client_id
  })

  # Callers present a key of the function, and come from where you allow it.
  site_config {
    minimum_tls_version           = "1.2"
    http2_enabled                 = true
    ip_restriction_default_action = "Deny"

    dynamic "ip_restriction" {
      for_each = var.allowed_cidrs

      content {
        name       = "allowed-${ip_restriction.key}"
        action     = "Allow"
        priority   = 100 + ip_restriction.key
        ip_address = ip_restriction.value
      }
    }
  }

  depends_on = [azurerm_role_assignment.function]
}

resource "azurerm_role_assignment" "function" {
  for_each = var.functions

  scope                = azurerm_storage_account.function[each.key].id
  role_definition_name = "Storage Blob Data Owner"
  principal_id         = azurerm_user_assigned_identity.replica.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_monitor_metric_alert" "function_errors" {
  for_each = var.functions

  name                = "${var.workload}-errors-${each.key}"
  resource_group_name = azurerm_resource_group.region[local.home].name
  description         = "A function answers with errors of its own."
  scopes              = [azurerm_function_app_flex_consumption.pool[each.key].id]
  severity            = 2
  frequency           = "PT5M"
  window_size         = "PT15M"
  tags                = local.tags

  criteria {
    metric_namespace = "Microsoft.Web/sites"
    metric_name      = "Http5xx"
    aggregation      = "Total"
    operator         = "GreaterThan"
    threshold        = 5
  }

  action {
    action_group_id = azurerm_monitor_action_group.people.id
  }
}

output "functions" {
  description = "Pool => name that its app answers to; code is published to the app, and a caller presents its key."
  value       = { for key, app in azurerm_function_app_flex_consumption.pool : key => app.default_hostname }
}
