# Written by `tightrope render` from the plan of helpdesk: PROVEN by replay on traffic that it was not sized on: 12 promises kept.
# Do not edit: plan or render again, and put what is yours into the settings or the overlay, which are never overwritten.
# Hours are those of UTC; the traffic is of no calendar, so its first day is taken as a Monday.

# Pools of machines as scale sets, where run_on is vm: each machine runs the containers of its replicas.

locals {
  scale_sets = var.run_on == "vm" ? var.pools : {}
  balanced   = toset([for pool in local.scale_sets : pool.region])

  # Replica number => its port: engines side by side on a machine listen on the image's port and those after it.
  ports = {
    for item in flatten([
      for key, pool in local.scale_sets : [
        for number in range(pool.replicas) : { pool = key, number = number, port = local.image[key].port + number }
      ]
    ]) : "${item.pool}-${item.number}" => item
  }

  image = {
    for key, pool in var.pools : key => lookup(var.images, pool.variant, {
      image = "", arguments = [], environment = {}, port = 8000, health_path = "/health"
    })
  }
}

resource "azurerm_linux_virtual_machine_scale_set" "pool" {
  for_each = local.scale_sets

  name                        = "${var.workload}-${each.key}"
  computer_name_prefix        = each.value.node_pool
  resource_group_name         = azurerm_resource_group.region[each.value.region].name
  location                    = each.value.region
  sku                         = each.value.machine
  instances                   = each.value.minimum
  zones                       = each.value.zones == 0 ? null : [for zone in range(min(each.value.zones, 3)) : tostring(zone + 1)]
  zone_balance                = false
  single_placement_group      = false
  overprovision               = false
  platform_fault_domain_count = each.value.zones == 0 ? 5 : 1
  encryption_at_host_enabled  = true

  priority        = each.value.spot ? "Spot" : "Regular"
  eviction_policy = each.value.spot ? "Delete" : null
  max_bid_price   = each.value.spot ? -1 : null

  admin_username                  = "tightrope"
  disable_password_authentication = true

  custom_data = base64encode(join("\n", ["#cloud-config", jsonencode({
    packages = each.value.accelerators > 0 ? ["jq"] : ["jq", "docker.io"]
    write_files = [
      { path = "/opt/tightrope/start.sh", permissions = "0755", encoding = "b64", content = filebase64("${path.module}/machine/start.sh") },
      { path = "/opt/tightrope/drain.sh", permissions = "0755", encoding = "b64", content = filebase64("${path.module}/machine/drain.sh") },
      { path = "/etc/systemd/system/tightrope.service", permissions = "0644", encoding = "b64", content = filebase64("${path.module}/machine/tightrope.service") },
      { path = "/etc/systemd/system/tightrope-drain.service", permissions = "0644", encoding = "b64", content = filebase64("${path.module}/machine/tightrope-drain.service") },
      { path = "/opt/tightrope/pool.json", permissions = "0644", encoding = "b64", content = base64encode(jsonencode({
        pool         = each.key
        image        = local.image[each.key].image
        port         = local.image[each.key].port
        arguments    = concat(local.image[each.key].arguments, each.value.arguments)
        environment  = [for name, value in merge({ PORT = tostring(local.image[each.key].port) }, each.value.environment, local.image[each.key].environment) : { name = name, value = value }]
        replicas     = each.value.replicas
        accelerators = each.value.accelerators
        client_id    = azurerm_user_assigned_identity.replica.client_id
      })) },
    ]
    runcmd = [["systemctl", "enable", "--now", "tightrope.service", "tightrope-drain.service"]]
  })]))

  admin_ssh_key {
    username   = "tightrope"
    public_key = var.admin_ssh_public_key
  }

  source_image_reference {
    publisher = each.value.accelerators > 0 ? var.gpu_image.publisher : "Canonical"
    offer     = each.value.accelerators > 0 ? var.gpu_image.offer : "ubuntu-24_04-lts"
    sku       = each.value.accelerators > 0 ? var.gpu_image.sku : (each.value.arch == "arm64" ? "server-arm64" : "server")
    version   = each.value.accelerators > 0 ? var.gpu_image.version : "latest"
  }

  os_disk {
    caching              = "ReadOnly"
    storage_account_type = "StandardSSD_LRS"
    disk_size_gb         = var.disk_gb
  }

  network_interface {
    name                      = "replica"
    primary                   = true
    network_security_group_id = azurerm_network_security_group.replicas[each.value.region].id

    ip_configuration {
      name                                   = "replica"
      primary                                = true
      subnet_id                              = var.subnet_ids[each.value.region]
      load_balancer_backend_address_pool_ids = [azurerm_lb_backend_address_pool.pool[each.key].id]
    }
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.replica.id]
  }

  health_probe_id = azurerm_lb_probe.replica["${each.key}-0"].id
  upgrade_mode    = "Rolling"

  rolling_upgrade_policy {
    max_batch_instance_percent              = 20
    max_unhealthy_instance_percent          = 20
    max_unhealthy_upgraded_instance_percent = 20
    pause_time_between_batches              = "PT${each.value.start_minutes}M"
  }

  # Only systems that Azure upgrades by itself; an image with the accelerators' driver is none.
  automatic_os_upgrade_policy {
    automatic_os_upgrade_enabled = each.value.accelerators == 0
    automatic_rollback_enabled   = true
  }

  automatic_instance_repair {
    enabled      = true
    grace_period = "PT${max(10, 2 * each.value.start_minutes)}M"
  }

  # The machine hears of it five minutes before it goes, and drain.sh lets its requests end.
  termination_notification {
    enabled = true
    timeout = "PT5M"
  }

  scale_in {
    rule                   = "Default"
    force_deletion_enabled = false
  }

  dynamic "spot_restore" {
    for_each = each.value.spot ? [true] : []

    content {
      enabled = true
      timeout = "PT1H"
    }
  }

  boot_diagnostics {}

  tags = merge(local.tags, each.value.tags)

  lifecycle {
    ignore_changes = [instances]

    precondition {
      condition     = local.image[each.key].image != ""
      error_message = "settings.auto.tfvars has no image for a variant that the plan runs on machines: see images."
    }

    precondition {
      condition     = var.admin_ssh_public_key != ""
      error_message = "settings.auto.tfvars needs admin_ssh_public_key where run_on is vm."
    }
  }

  depends_on = [azurerm_lb_rule.replica, azurerm_role_assignment.images, azurerm_role_assignment.models]
}
