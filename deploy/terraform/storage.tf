locals {
  control_bucket = regex("^gs://([^/]+)/", local.launch.templates)[0]
  records_prefix = trimsuffix(regex("^gs://[^/]+/(.+)$", local.launch.records)[0], "/")
  work_bucket    = regex("^gs://([^/]+)/", local.launch.environment.temp_location)[0]
  temp_prefix    = trimsuffix(regex("^gs://[^/]+/(.+)$", local.launch.environment.temp_location)[0], "/")
}

# Templates, the launch configuration and the records of launches; workers may read it and not write.
resource "google_storage_bucket" "control" {
  project                     = local.project
  name                        = local.control_bucket
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = var.labels

  versioning {
    enabled = true # the configuration of before a mistake is there to go back to
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = var.record_days
      matches_prefix = ["${local.records_prefix}/"]
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 90
    }
  }
}

# What Dataflow stages and keeps aside. A streaming job needs its staged files as long as it lives: give such a job a
# temp_location beside the one that expires.
resource "google_storage_bucket" "work" {
  project                     = local.project
  name                        = local.work_bucket
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = var.labels

  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = var.temp_days
      matches_prefix = ["${local.temp_prefix}/"]
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }
}

resource "google_storage_bucket" "data" {
  for_each = var.buckets

  project                     = local.project
  name                        = each.key
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = var.labels

  soft_delete_policy {
    retention_duration_seconds = each.value.soft_delete_days * 86400
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.delete_after_days

    content {
      action {
        type = "Delete"
      }
      condition {
        age            = lifecycle_rule.value
        matches_prefix = lifecycle_rule.key == "" ? [] : [lifecycle_rule.key]
      }
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }
}

# The service reads the same text that plans were made of.
resource "google_storage_bucket_object" "launch_config" {
  bucket       = google_storage_bucket.control.name
  name         = "launch.json"
  content      = var.launch_config
  content_type = "application/json"

  lifecycle {
    precondition {
      condition = alltrue([
        for job in values(local.jobs) : try(job.environment.service_account, "") == local.account_emails[job.pipeline]
      ])
      error_message = "Each job runs as the account of its pipeline; give jobs these as environment.service_account: ${jsonencode({ for name, job in local.jobs : name => local.account_emails[job.pipeline] })}"
    }
  }
}
