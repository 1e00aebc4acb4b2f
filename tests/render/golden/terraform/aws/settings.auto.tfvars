# Yours: written once, and never again. `terraform plan` asks for what is commented out and has no default; variables.tf explains each.

# team          = "machine-learning"
# environment   = "production"
# cost_centre   = "cc-1"
# notify_emails = ["platform@example.com"]

# "vm" (Auto Scaling groups behind a balancer) or "kubernetes" (node groups of a cluster).
run_on = "vm"

# Your network: private subnets in two zones or more, with a way to your images and models, and the certificate of the balancer's name.
# networks = {
#   "us-east-1" = { vpc_id = "vpc-...", subnet_ids = ["subnet-...", "subnet-..."], certificate_arn = "arn:aws:acm:..." }
# }

# The container of each variant of a model, and what it is told beside what the plan states (an LLM engine: which model).
# images = {
#   "assistant-7b/int8" = { image = "registry.example.com/engine:1", arguments = [] }
#   "minilm/int8" = { image = "registry.example.com/engine:1", arguments = [] }
#   "vision/int8" = { image = "registry.example.com/engine:1", arguments = [] }
# }

# Who may ask the balancers: the gateway. Until it stands here, nobody may.
# allowed_security_groups = { "us-east-1" = ["sg-..."] }
# allowed_cidrs           = ["10.0.0.0/16"]

# Where engines read models, and the only part of it that they may.
# model_bucket = "models.example.com"
# model_prefix = "models/"

# margin             = 0.1 # how much the bill may exceed the plan's
# expires_on         = "2027-01-31" # on this day everything goes to zero
# log_retention_days = 30
# activate_cost_tags = true # in the management account
# gateway_namespace  = "Tightrope" # where an agent publishes the gateway's metrics
