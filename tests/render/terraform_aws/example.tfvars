team          = "machine-learning"
environment   = "production"
cost_centre   = "cc-1"
notify_emails = ["platform@example.com"]

networks = {
  us-east-1 = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"], certificate_arn = "arn:aws:acm:us-east-1:000000000000:certificate/1" }
}

images = {
  "assistant-7b/int8" = { image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/vllm:1", arguments = ["--model=s3://models.example.com/a"] }
  "faq/int8"          = { image = "registry.example.com/engine:1" }
  "minilm/int8"       = { image = "registry.example.com/engine:1", environment = { MODEL = "minilm" } }
  "resnet50/int8"     = { image = "registry.example.com/engine:1", health_path = "/ready" }
  "vision/int8"       = { image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/vision:1", arguments = ["answer"] }
}

model_bucket            = "models.example.com"
model_prefix            = "models/"
allowed_security_groups = { us-east-1 = ["sg-1"] }
allowed_cidrs           = ["10.0.0.0/16"]
gateway_namespace       = "Tightrope"
expires_on              = "2030-01-31"
also_types              = { int8-g4dn-xlarge-spot = ["g4dn.2xlarge"] }
access_log_bucket       = "logs.example.com"
activate_cost_tags      = true
