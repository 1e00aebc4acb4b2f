# Yours: written once, and never over it again. `terraform plan` asks for what has no default. variables.tf says what each one means.

# project_id    = "example-project"
# billing_account = "000000-000000-000000" # for the budget

# Labels on everything, by which costs are allocated.
# team        = "search"
# environment = "production"
# cost_centre = "cc-1"
# expires_on  = "2027-03-31"

# Who hears of budgets and alerts.
# notify_emails = ["team@example.com"]

# run_on = "vm" # or "kubernetes"

# The container that serves each variant.
# images = {
#   "minilm/int8" = { image = "us-docker.pkg.dev/example-project/serve/image:1", arguments = [] }
#   "vision/int8" = { image = "us-docker.pkg.dev/example-project/serve/image:1", arguments = [] }
# }

# Where it stands.
# network     = "example"
# subnetworks = {
#   "us-central1" = "example"
# }
# proxy_only_subnets = {
#   "us-central1" = { cidr = "10.129.0.0/23" }
# }
# allowed_cidrs = ["10.0.0.0/16"] # that may reach the control planes

# model_bucket = "example-models"
# model_prefix = "models/"
