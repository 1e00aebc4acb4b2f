# Yours: written once, and never again. `terraform plan` asks for what is commented out and has no default; variables.tf explains each.

# team          = "machine-learning"
# environment   = "production"
# cost_centre   = "cc-1"
# notify_emails = ["platform@example.com"]

# "vm" (scale sets) or "kubernetes" (AKS).
run_on = "vm"

# Your network. It must reach the registry and, for models, the storage.
# subnet_ids = {
#   "eastus" = "/subscriptions/.../subnets/machines"
# }
# container_subnet_ids = {
#   "eastus" = "/subscriptions/.../subnets/containers"
# }

# The gateway's addresses: until they stand here, nothing reaches the replicas.
# allowed_cidrs = ["10.0.0.0/16"]

# The container of each variant of a model.
# images = {
#   "minilm/int8" = { image = "example.azurecr.io/model:1", arguments = [], port = 8000 }
#   "vision/int8" = { image = "example.azurecr.io/model:1", arguments = [], port = 8000 }
# }

# registry_id          = "/subscriptions/.../registries/example"
# model_container_id   = "/subscriptions/.../containers/models"
# admin_ssh_public_key = "ssh-ed25519 ..."

# Where the gateway's metrics are in Azure Monitor; without them pools with accelerators follow their schedule alone.
# metrics = { resource_id = "/subscriptions/...", namespace = "..." }

# margin = 0.1
# log_retention_days = 30
# expires_on = "2027-06-30"
