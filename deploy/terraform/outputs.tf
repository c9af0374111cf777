output "service_url" {
  description = "Where the launch service is; empty as long as there is none."
  value       = local.has_service ? google_cloud_run_v2_service.launch[0].uri : ""
}

output "repository" {
  description = "Where images are pushed to."
  value       = "${local.region}-docker.pkg.dev/${local.project}/${google_artifact_registry_repository.images.name}"
}

output "launch_config" {
  description = "The launch configuration as the service reads it, for WHARF_LAUNCH_CONFIG."
  value       = "gs://${google_storage_bucket_object.launch_config.bucket}/${google_storage_bucket_object.launch_config.name}"
}

output "worker_accounts" {
  description = "The account of each pipeline's workers: to be granted what is not in this project."
  value       = local.account_emails
}

output "launch_topic" {
  description = "Publish a request here, as JSON, and its run is launched."
  value       = google_pubsub_topic.this["launch"].id
}

output "landed_subscriptions" {
  description = "What a streaming files_to_bigquery job reads, for its parameter subscription."
  value       = { for name, subscription in google_pubsub_subscription.stream : name => subscription.id }
}

output "deployer" {
  description = "What a workflow of GitHub signs in with; empty without a repository."
  value = var.github_repository == "" ? {} : {
    workload_identity_provider = google_iam_workload_identity_pool_provider.github[0].name
    service_account            = google_service_account.deployer[0].email
  }
}
