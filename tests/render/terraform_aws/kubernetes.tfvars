run_on = "kubernetes"
