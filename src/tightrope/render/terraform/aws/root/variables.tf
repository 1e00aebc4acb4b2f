# What the plan says: plan.auto.tfvars.json, written again with every render.

variable "plan" {
  description = "What the whole plan says: its names, whether it is proven, where it stands and what it costs a month here."
  type = object({
    notice         = list(string)
    workload       = string
    name           = string
    workload_label = string
    proven         = bool
    regions        = list(string)
    usd_per_month  = number
    disk_gb        = number
  })
}

variable "machines" {
  description = "Pools of machines: a group each. The schedule is the floor of every hour; the autoscaler adds up to the most."
  type = map(object({
    pool                 = string
    region               = string
    machine              = string
    image_kind           = string
    ami_type             = string
    spot                 = bool
    backs                = string
    variant              = string
    least                = number
    most                 = number
    week                 = map(string)
    schedule             = map(object({ cron = string, machines = number }))
    requests_per_s       = number
    usual_requests_per_s = number
    from_zero            = bool
    start_s              = number
    slow                 = object({ percentile = number, limit_s = number })
    engines              = list(object({ arguments = list(string), accelerators = list(number) }))
    environment          = map(string)
    labels               = map(string)
  }))
  default = {}
}

variable "containers" {
  description = "Pools of container instances (Fargate): a service each."
  type = map(object({
    pool           = string
    region         = string
    cpu            = number
    memory_mib     = number
    architecture   = string
    variant        = string
    least          = number
    most           = number
    week           = map(string)
    schedule       = map(object({ cron = string, machines = number }))
    requests_per_s = number
    start_s        = number
    arguments      = list(string)
    environment    = map(string)
    labels         = map(string)
  }))
  default = {}
}

variable "functions" {
  description = "Pools of function instances (Lambda): a function each, of at most so many at one time."
  type = map(object({
    pool         = string
    region       = string
    memory_mib   = number
    architecture = string
    variant      = string
    most         = number
    environment  = map(string)
    labels       = map(string)
  }))
  default = {}
}

variable "routes" {
  description = "Which share of a class each group answers, over the week: at most five groups a class and region, as a balancer allows."
  type        = map(object({ class = string, region = string, weights = map(number) }))
  default     = {}
}

variable "promises" {
  description = "What is promised: share of a class's requests that keep one limit."
  type        = map(object({ class = string, region = string, slo = string, target = number }))
  default     = {}
}

# What you say: settings.auto.tfvars, never overwritten.

variable "team" {
  description = "Who owns it: a cost-allocation tag on everything."
  type        = string

  validation {
    condition     = can(regex("^[\\w .:/=+@-]{1,256}$", var.team))
    error_message = "team is a tag: 1 to 256 letters, digits, blanks and . : / = + @ - _."
  }
}

variable "environment" {
  description = "Which environment it is: a cost-allocation tag on everything."
  type        = string

  validation {
    condition     = can(regex("^[\\w .:/=+@-]{1,256}$", var.environment))
    error_message = "environment is a tag: 1 to 256 letters, digits, blanks and . : / = + @ - _."
  }
}

variable "cost_centre" {
  description = "Who pays: a cost-allocation tag on everything."
  type        = string

  validation {
    condition     = can(regex("^[\\w .:/=+@-]{1,256}$", var.cost_centre))
    error_message = "cost_centre is a tag: 1 to 256 letters, digits, blanks and . : / = + @ - _."
  }
}

variable "tags" {
  description = "Further tags on everything."
  type        = map(string)
  default     = {}
}

variable "expires_on" {
  description = "Day (2027-01-31) from which nothing is to run: a tag on everything, and on that day every group goes to zero. Empty: never."
  type        = string
  default     = ""

  validation {
    condition     = var.expires_on == "" || can(formatdate("YYYY", "${var.expires_on}T00:00:00Z"))
    error_message = "expires_on is a day such as 2027-01-31, or empty."
  }
}

variable "notify_emails" {
  description = "Who hears of alarms, budgets and cost anomalies."
  type        = list(string)

  validation {
    condition     = length(var.notify_emails) > 0 && length(var.notify_emails) <= 10 && alltrue([for email in var.notify_emails : can(regex("^[^@\\s]+@[^@\\s]+$", email))])
    error_message = "notify_emails are 1 to 10 addresses, as a budget allows."
  }
}

variable "networks" {
  description = "Region => the network that is there: private subnets in several zones, with a way to your images and models."
  type = map(object({
    vpc_id          = string
    subnet_ids      = list(string)
    certificate_arn = string
  }))

  validation {
    condition     = alltrue([for region in var.plan.regions : contains(keys(var.networks), region)])
    error_message = "networks needs an entry for every region of the plan: ${join(", ", var.plan.regions)}."
  }

  validation {
    condition     = alltrue([for network in var.networks : length(network.subnet_ids) >= 2])
    error_message = "a balancer and a cluster need subnets in at least two zones."
  }
}

variable "images" {
  description = "What runs: variant (or pool, where one differs) => container image, its own arguments, and the path that answers 200 when it is ready. An engine is told its port by --port (vLLM) or PORT."
  type = map(object({
    image       = string
    arguments   = optional(list(string), [])
    environment = optional(map(string), {})
    health_path = optional(string, "/health")
  }))

  validation {
    condition     = alltrue([for key, variant in merge({ for key, pool in var.machines : key => pool.variant }, { for key, pool in var.containers : key => pool.variant }, { for key, pool in var.functions : key => pool.variant }) : contains(keys(var.images), key) || contains(keys(var.images), variant)])
    error_message = "images needs an entry for every variant that the plan runs; settings.auto.tfvars lists them."
  }
}

variable "run_on" {
  description = "What the machines are: \"vm\", Auto Scaling groups of their own behind a balancer, or \"kubernetes\", node groups of a cluster."
  type        = string
  default     = "vm"

  validation {
    condition     = contains(["vm", "kubernetes"], var.run_on)
    error_message = "run_on is vm or kubernetes."
  }
}

variable "allowed_cidrs" {
  description = "Who may ask the balancers, as networks. None by default; the whole internet is refused."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.allowed_cidrs : can(cidrnetmask(cidr)) && try(tonumber(split("/", cidr)[1]) >= 8, false)])
    error_message = "allowed_cidrs are IPv4 networks such as 10.0.0.0/16, none larger than a /8: never the whole internet."
  }
}

variable "allowed_security_groups" {
  description = "Who may ask the balancers, as security groups: region => group ids, the gateway's among them."
  type        = map(list(string))
  default     = {}
}

variable "model_bucket" {
  description = "Name of the S3 bucket with the models; null where images bring theirs."
  type        = string
  default     = null
}

variable "model_prefix" {
  description = "The part of the bucket that may be read, such as models/."
  type        = string
  default     = ""
}

variable "margin" {
  description = "How much the bill may exceed the plan's before the budget's 100 %."
  type        = number
  default     = 0.1

  validation {
    condition     = var.margin >= 0 && var.margin <= 2
    error_message = "margin is a share from 0 to 2: 0.1 is a tenth."
  }
}

variable "anomaly_usd" {
  description = "A cost anomaly is told of from so many US dollars."
  type        = number
  default     = 50
}

variable "activate_cost_tags" {
  description = "Whether to activate the tags for cost allocation: needs the management account. Budgets and anomalies see them only when they are active."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "Days for which logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is one of the numbers that CloudWatch knows, such as 30, 90 or 365."
  }
}

variable "gateway_namespace" {
  description = "CloudWatch namespace to which an agent publishes the gateway's metrics; null where it does not, and the balancer's are used."
  type        = string
  default     = null
}
