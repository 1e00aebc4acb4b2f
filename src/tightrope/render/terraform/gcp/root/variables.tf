# ------------------------------------------------------------------------------------------------- yours: settings.auto.tfvars

variable "project_id" {
  description = "The project in which everything stands."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id has 6 to 30 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "billing_account" {
  description = "The billing account that the budget belongs to, such as 012345-567890-ABCDEF; null makes no budget."
  type        = string
  default     = null

  validation {
    condition     = var.billing_account == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "A billing account's id is three groups of six hexadecimal digits, in capital letters."
  }
}

variable "run_on" {
  description = "What the machines are: \"vm\" (instance groups) or \"kubernetes\" (GKE node pools)."
  type        = string
  default     = "vm"

  validation {
    condition     = contains(["vm", "kubernetes"], var.run_on)
    error_message = "Say \"vm\" or \"kubernetes\"."
  }
}

variable "team" {
  description = "Label `team`: who answers for the cost."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9_-]{1,63}$", var.team))
    error_message = "A label has 1 to 63 small letters, digits, hyphens and underscores."
  }
}

variable "environment" {
  description = "Label `environment`, such as production."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9_-]{1,63}$", var.environment))
    error_message = "A label has 1 to 63 small letters, digits, hyphens and underscores."
  }
}

variable "cost_centre" {
  description = "Label `cost-centre`: what it is charged to."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9_-]{1,63}$", var.cost_centre))
    error_message = "A label has 1 to 63 small letters, digits, hyphens and underscores."
  }
}

variable "expires_on" {
  description = "A day such as 2027-03-31, from which an apply takes machines and kept instances away; empty keeps them."
  type        = string
  default     = ""

  validation {
    condition     = var.expires_on == "" || can(timecmp("${var.expires_on}T00:00:00Z", "2026-01-01T00:00:00Z"))
    error_message = "Write the day as 2027-03-31."
  }
}

variable "notify_emails" {
  description = "Who hears of budgets and alerts."
  type        = list(string)

  validation {
    condition     = length(var.notify_emails) > 0 && length(var.notify_emails) <= 5 && alltrue([for email in var.notify_emails : can(regex("^[^@\\s]+@[^@\\s]+$", email))])
    error_message = "Name one to five email addresses: a budget tells no more."
  }
}

variable "images" {
  description = "Container image of each model's variant, its own arguments and environment, the port it listens on, and the path that says it is healthy."
  type = map(object({
    image       = string
    arguments   = optional(list(string), [])
    environment = optional(map(string), {})
    port        = optional(number, 8000)
    health_path = optional(string, "/health")
  }))

  validation {
    condition     = alltrue([for image in values(var.images) : startswith(image.health_path, "/") && image.port > 0 && image.port < 65536])
    error_message = "A health path begins with a slash, and a port is 1 to 65535."
  }
}

variable "network" {
  description = "Name or id of the network that the machines stand in."
  type        = string
}

variable "subnetworks" {
  description = "Region => name or id of the subnetwork; it needs Private Google Access, and Cloud NAT where images come from elsewhere."
  type        = map(string)
}

variable "proxy_only_subnets" {
  description = "Region => range of the subnetwork that the load balancer's proxies stand in, and whether to create it; for run_on = \"vm\"."
  type = map(object({
    cidr   = string
    create = optional(bool, true)
  }))
  default = {}

  validation {
    condition     = alltrue([for item in values(var.proxy_only_subnets) : can(cidrhost(item.cidr, 0)) && item.cidr != "0.0.0.0/0"])
    error_message = "Write ranges such as 10.129.0.0/23."
  }
}

variable "zones" {
  description = "Region => zones in which machines may stand, such as us-central1-a, where not every zone has the plan's machine types; all where there is none."
  type        = map(list(string))
  default     = {}
}

variable "allowed_cidrs" {
  description = "Ranges that may reach the control planes of the GKE clusters; none by default."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.allowed_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "Write ranges such as 10.0.0.0/16; the whole internet is not allowed."
  }
}

variable "existing_clusters" {
  description = "Region => id of a GKE cluster that is there already; in the other regions one is made."
  type        = map(string)
  default     = {}
}

variable "master_cidrs" {
  description = "Region => /28 range of a new cluster's control plane; left to GKE where there is none."
  type        = map(string)
  default     = {}
}

variable "system_nodes" {
  description = "Machines of a new cluster for what a cluster itself needs (DNS, metrics), in each of its zones: the plan does not pay for these."
  type        = object({ machine = string, per_zone = number })
  default     = { machine = "e2-medium", per_zone = 1 }
}

variable "kubernetes_service_account" {
  description = "Namespace and name of the Kubernetes service account that the pods run as."
  type        = object({ namespace = string, name = string })
  default     = { namespace = "tightrope", name = "tightrope-engine" }
}

variable "model_bucket" {
  description = "Name of the bucket with the models; null where images bring theirs."
  type        = string
  default     = null
}

variable "model_prefix" {
  description = "The part of the bucket that may be read, such as models/."
  type        = string
  default     = ""
}

variable "kms_keys" {
  description = "Region => id of the key that disks are encrypted with; Google's own keys where there is none."
  type        = map(string)
  default     = {}
}

variable "margin" {
  description = "Part of the planned cost that a month may cost more before the budget is used up."
  type        = number
  default     = 0.1

  validation {
    condition     = var.margin >= 0 && var.margin <= 1
    error_message = "Say 0 to 1."
  }
}

variable "currency" {
  description = "Currency of the billing account; the plan is in US dollars, so its amount is multiplied with usd_rate."
  type        = string
  default     = "USD"

  validation {
    condition     = can(regex("^[A-Z]{3}$", var.currency))
    error_message = "Write a currency such as USD."
  }
}

variable "usd_rate" {
  description = "What a US dollar is in the billing account's currency."
  type        = number
  default     = 1

  validation {
    condition     = var.currency != "USD" || var.usd_rate == 1
    error_message = "A US dollar is one US dollar: name the other currency too."
  }
}

variable "log_retention_days" {
  description = "How long the logs of the machines and services are kept."
  type        = number
  default     = 30

  validation {
    condition     = var.log_retention_days >= 1 && var.log_retention_days <= 3650
    error_message = "Say 1 to 3650 days."
  }
}

variable "utilisation" {
  description = "Use of a pool (1 is all that it sustains within the promises) below which, all day, and above which, for ten minutes, somebody hears of it."
  type        = object({ low = number, high = number })
  default     = { low = 0.2, high = 1.1 }
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete clusters and services."
  type        = bool
  default     = true
}

# -------------------------------------------------------------------------------------------- the plan's: plan.auto.tfvars.json

variable "notice" {
  description = "Which plan this is, and whether it is proven."
  type        = list(string)
}

variable "workload" {
  description = "The workload's name, as labels and names take it."
  type        = string
}

variable "account_id" {
  description = "Id of the service account that serves."
  type        = string
}

variable "monthly_usd" {
  description = "What the plan costs in a month here, US dollars."
  type        = number
}

variable "usd_per_hour" {
  description = "What all machines would cost an hour at their most, US dollars."
  type        = number
}

variable "disk_gb" {
  description = "Root volume of every machine."
  type        = number
}

variable "caps" {
  description = "The most that the plan lets run at one time, which tests/ asserts."
  type        = object({ machines = number, spot_machines = number, instances = number })
}

variable "pools" {
  description = "Pools of machines."
  type = map(object({
    pool                     = string
    name                     = string
    node_label               = string
    region                   = string
    machine                  = string
    spot                     = bool
    usd_per_hour             = number
    min                      = number
    max                      = number
    signal                   = string
    requests_per_s           = number
    in_flight                = number
    stabilisation_s          = number
    start_s                  = number
    variant                  = string
    arguments                = list(string)
    environment              = map(string)
    replicas                 = number
    accelerators             = number
    accelerators_per_replica = number
    attach                   = string
    tpu                      = bool
    arm                      = bool
    disk_type                = string
    labels                   = map(string)
    schedules = map(object({
      cron       = string
      duration_s = number
      machines   = number
    }))
  }))

  validation {
    condition     = alltrue(flatten([for pool in values(var.pools) : [for schedule in values(pool.schedules) : schedule.machines <= pool.max]]))
    error_message = "A schedule asks for more machines than the pool may have."
  }
}

variable "services" {
  description = "Functions and containers, on Cloud Run."
  type = map(object({
    pool        = string
    name        = string
    region      = string
    size        = string
    cpu         = string
    memory      = string
    cpu_idle    = bool
    concurrency = number
    timeout_s   = number
    min         = number
    max         = number
    variant     = string
    environment = map(string)
    labels      = map(string)
    schedule = map(object({
      cron     = string
      machines = number
    }))
  }))
}

variable "promises" {
  description = "What is promised to each class: the share of requests that keep it."
  type = map(object({
    traffic_class = string
    slo           = string
    target        = number
  }))
}
