locals {
  tags = merge(
    var.tags,
    {
      workload    = var.workload_label
      team        = var.team
      environment = var.environment
      cost-centre = var.cost_centre
      managed-by  = "tightrope"
    },
    var.expires_on == "" ? {} : { expires-on = var.expires_on },
  )

  home = sort(var.regions)[0]
}

resource "azurerm_resource_group" "region" {
  for_each = var.regions

  name     = "${var.workload}-${each.key}"
  location = each.key
  tags     = local.tags
}

# What machines and containers may do: read the models, and pull images. Nothing else.
resource "azurerm_user_assigned_identity" "replica" {
  name                = "${var.workload}-replica"
  resource_group_name = azurerm_resource_group.region[local.home].name
  location            = local.home
  tags                = local.tags
}

resource "azurerm_role_assignment" "models" {
  count = var.model_container_id == "" ? 0 : 1

  scope                = var.model_container_id
  role_definition_name = "Storage Blob Data Reader"
  principal_id         = azurerm_user_assigned_identity.replica.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "images" {
  count = var.registry_id == "" ? 0 : 1

  scope                = var.registry_id
  role_definition_name = "AcrPull"
  principal_id         = azurerm_user_assigned_identity.replica.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_log_analytics_workspace" "logs" {
  name                = "${var.workload}-logs"
  resource_group_name = azurerm_resource_group.region[local.home].name
  location            = local.home
  sku                 = "PerGB2018"
  retention_in_days   = var.log_retention_days
  tags                = local.tags
}
