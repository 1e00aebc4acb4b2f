# Pools of containers on Container Instances: each replica is a group of its own. Azure neither scales nor schedules these, so as many run as
# the week's largest hour wants (more where container_counts says so); README.md says what that adds to the plan's cost, if anything.

variable "containers" {
  description = "Pools of containers by their names."
  type = map(object({
    region      = string
    vcpu        = number
    memory_gb   = number
    peak        = number
    maximum     = number
    variant     = string
    arguments   = list(string)
    environment = map(string)
    tags        = map(string)
  }))
}

variable "container_subnet_ids" {
  description = "Region => subnet of your network for containers, delegated to Microsoft.ContainerInstance/containerGroups."
  type        = map(string)

  validation {
    condition     = alltrue([for pool in var.containers : contains(keys(var.container_subnet_ids), pool.region)])
    error_message = "Every region with containers needs a subnet: ${join(", ", distinct([for pool in var.containers : pool.region]))}."
  }
}

variable "container_counts" {
  description = "Pool => replicas to run all week, where not the week's largest number; at most the plan's."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for key, count in var.container_counts : count >= 0 && count <= try(var.containers[key].maximum, -1)])
    error_message = "Each is a pool of containers of the plan, and from 0 to the plan's maximum."
  }
}

locals {
  replicas = {
    for item in flatten([
      for key, pool in var.containers : [
        for number in range(lookup(var.container_counts, key, pool.peak)) : { pool = key, number = number }
      ]
    ]) : "${item.pool}-${item.number}" => item.pool
  }

  container_image = {
    for key, pool in var.containers : key => lookup(var.images, pool.variant, {
      image = "", arguments = [], environment = {}, port = 8000, health_path = "/health"
    })
  }
}

resource "azurerm_container_group" "replica" {
  #checkov:skip=CKV_AZURE_235:what images[].environment says is no secret: containers read secrets with their identity
  for_each = local.replicas

  name                = "${var.workload}-${each.key}"
  resource_group_name = azurerm_resource_group.region[var.containers[each.value].region].name
  location            = var.containers[each.value].region
  os_type             = "Linux"
  ip_address_type     = "Private"
  subnet_ids          = [var.container_subnet_ids[var.containers[each.value].region]]
  restart_policy      = "Always"
  tags                = merge(local.tags, var.containers[each.value].tags)

  container {
    name                  = "replica"
    image                 = local.container_image[each.value].image
    cpu                   = var.containers[each.value].vcpu
    memory                = var.containers[each.value].memory_gb
    environment_variables = merge({ PORT = tostring(local.container_image[each.value].port) }, var.containers[each.value].environment, local.container_image[each.value].environment)
    # These take the place of the image's own command: images[].arguments begin with the program.
    commands = (
      length(concat(local.container_image[each.value].arguments, var.containers[each.value].arguments)) == 0 ? null
      : concat(local.container_image[each.value].arguments, var.containers[each.value].arguments)
    )

    ports {
      port     = local.container_image[each.value].port
      protocol = "TCP"
    }

    readiness_probe {
      period_seconds    = 5
      failure_threshold = 2

      http_get {
        path   = local.container_image[each.value].health_path
        port   = local.container_image[each.value].port
        scheme = "http"
      }
    }

    liveness_probe {
      initial_delay_seconds = 300
      period_seconds        = 30
      failure_threshold     = 4

      http_get {
        path   = local.container_image[each.value].health_path
        port   = local.container_image[each.value].port
        scheme = "http"
      }
    }
  }

  dynamic "image_registry_credential" {
    for_each = var.registry_id == "" ? [] : [split("/", local.container_image[each.value].image)[0]]

    content {
      server                    = image_registry_credential.value
      user_assigned_identity_id = azurerm_user_assigned_identity.replica.id
    }
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.replica.id]
  }

  lifecycle {
    precondition {
      condition     = local.container_image[each.value].image != ""
      error_message = "settings.auto.tfvars has no image for a variant that the plan runs in containers: see images."
    }
  }

  depends_on = [azurerm_role_assignment.images, azurerm_role_assignment.models]
}

# How many run in a month is known here, so a CPU that does next to nothing for a day is worth a word.
resource "azurerm_monitor_metric_alert" "idle_container" {
  for_each = local.replicas

  name                = "${var.workload}-idle-${each.key}"
  resource_group_name = azurerm_resource_group.region[local.home].name
  description         = "A container does next to nothing: plan again with newer traffic."
  scopes              = [azurerm_container_group.replica[each.key].id]
  severity            = 3
  frequency           = "PT1H"
  window_size         = "P1D"
  tags                = local.tags

  criteria {
    metric_namespace = "Microsoft.ContainerInstance/containerGroups"
    metric_name      = "CpuUsage"
    aggregation      = "Average"
    operator         = "LessThan"
    threshold        = 10 * var.containers[each.value].vcpu
  }

  action {
    action_group_id = azurerm_monitor_action_group.people.id
  }
}

output "containers" {
  description = "Replica => address inside the network, and port."
  value       = { for key, group in azurerm_container_group.replica : key => "${group.ip_address}:${local.container_image[local.replicas[key]].port}" }
}
