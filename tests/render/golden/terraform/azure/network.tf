# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# In front of the scale sets: one internal load balancer a region, with an address for each pool. Nothing is open to the internet.

resource "azurerm_lb" "region" {
  for_each = local.balanced

  name                = "${var.workload}-${each.key}"
  resource_group_name = azurerm_resource_group.region[each.key].name
  location            = each.key
  sku                 = "Standard"
  tags                = local.tags

  dynamic "frontend_ip_configuration" {
    for_each = { for key, pool in local.scale_sets : key => pool if pool.region == each.key }

    content {
      name                          = frontend_ip_configuration.key
      subnet_id                     = var.subnet_ids[each.key]
      private_ip_address_allocation = "Dynamic"
    }
  }
}

resource "azurerm_lb_backend_address_pool" "pool" {
  for_each = local.scale_sets

  name            = each.key
  loadbalancer_id = azurerm_lb.region[each.value.region].id
}

resource "azurerm_lb_probe" "replica" {
  for_each = local.ports

  name                = each.key
  loadbalancer_id     = azurerm_lb.region[local.scale_sets[each.value.pool].region].id
  protocol            = "Http"
  port                = each.value.port
  request_path        = local.image[each.value.pool].health_path
  interval_in_seconds = 5
  probe_threshold     = 2
}

resource "azurerm_lb_rule" "replica" {
  for_each = local.ports

  name                           = each.key
  loadbalancer_id                = azurerm_lb.region[local.scale_sets[each.value.pool].region].id
  frontend_ip_configuration_name = each.value.pool
  backend_address_pool_ids       = [azurerm_lb_backend_address_pool.pool[each.value.pool].id]
  probe_id                       = azurerm_lb_probe.replica[each.key].id
  protocol                       = "Tcp"
  frontend_port                  = each.value.port
  backend_port                   = each.value.port
  tcp_reset_enabled              = true
}

resource "azurerm_network_security_group" "replicas" {
  for_each = local.balanced

  name                = "${var.workload}-${each.key}"
  resource_group_name = azurerm_resource_group.region[each.key].name
  location            = each.key
  tags                = local.tags
}

resource "azurerm_network_security_rule" "asked" {
  for_each = length(var.allowed_cidrs) > 0 ? local.balanced : toset([])

  name                        = "from-allowed"
  resource_group_name         = azurerm_resource_group.region[each.key].name
  network_security_group_name = azurerm_network_security_group.replicas[each.key].name
  priority                    = 100
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_port_range           = "*"
  source_address_prefixes     = var.allowed_cidrs
  destination_address_prefix  = "*"
  destination_port_ranges     = distinct([for item in local.ports : tostring(item.port) if local.scale_sets[item.pool].region == each.key])
}

resource "azurerm_network_security_rule" "probed" {
  for_each = local.balanced

  name                        = "from-load-balancer"
  resource_group_name         = azurerm_resource_group.region[each.key].name
  network_security_group_name = azurerm_network_security_group.replicas[each.key].name
  priority                    = 200
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_port_range           = "*"
  source_address_prefix       = "AzureLoadBalancer"
  destination_address_prefix  = "*"
  destination_port_ranges     = distinct([for item in local.ports : tostring(item.port) if local.scale_sets[item.pool].region == each.key])
}

# Azure lets in all of the network by default.
resource "azurerm_network_security_rule" "nobody_else" {
  for_each = local.balanced

  name                        = "nobody-else"
  resource_group_name         = azurerm_resource_group.region[each.key].name
  network_security_group_name = azurerm_network_security_group.replicas[each.key].name
  priority                    = 4000
  direction                   = "Inbound"
  access                      = "Deny"
  protocol                    = "*"
  source_port_range           = "*"
  source_address_prefix       = "*"
  destination_address_prefix  = "*"
  destination_port_range      = "*"
}
