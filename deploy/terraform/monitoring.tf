# Whom to tell, and of what: runs that failed, runs that did not happen, and requests that nobody could carry out.

locals {
  channels   = concat([for channel in google_monitoring_notification_channel.email : channel.name], tolist(var.notification_channels))
  job_names  = "^(${join("|", keys(local.jobs))})(-.*)?$"
  jobs_ended = "logging_googleapis_com:user_${replace(var.name, "-", "_")}_jobs" # what PromQL calls the metric below
  promised   = { for name, schedule in var.schedules : name => schedule if schedule.success_within_hours != null && !schedule.paused && local.has_service }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  project      = local.project
  display_name = each.key
  type         = "email"
  labels       = { email_address = each.key }
  user_labels  = var.labels
}

# Dataflow's own word, so that it also holds where the service is down.
resource "google_monitoring_alert_policy" "failed" {
  project               = local.project
  display_name          = "${var.name}: a run failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "Dataflow job failed"

    condition_threshold {
      filter          = "metric.type = \"dataflow.googleapis.com/job/is_failed\" AND resource.type = \"dataflow_job\" AND resource.labels.job_name = monitoring.regex.full_match(\"${local.job_names}\")"
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    content   = "${var.runbook}, A failed run. `wharf status` lists what failed and why, and the command that repairs it."
    mime_type = "text/markdown"
  }
}

# The service logs how each Dataflow job ends that it is told of, also of those that it did not launch; this counts them.
resource "google_logging_metric" "jobs" {
  count = local.has_service ? 1 : 0

  project     = local.project
  name        = "${var.name}/jobs"
  description = "Jobs that ended, by their name in the launch configuration and by Dataflow's state"
  filter = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=\"${google_cloud_run_v2_service.launch[0].name}\"",
    "jsonPayload.logger=\"wharf.launch.service.incidents\"",
    "jsonPayload.state=(\"DONE\" OR \"DRAINED\" OR \"FAILED\" OR \"CANCELLED\")",
  ])

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    labels {
      key         = "name"
      description = "The job of the launch configuration"
    }
    labels {
      key         = "state"
      description = "DONE, DRAINED, FAILED or CANCELLED"
    }
  }

  # A Dataflow job is called <name>-<window>-<digest> or <name>-direct; of two names that fit the longer one is meant.
  label_extractors = {
    name  = "REGEXP_EXTRACT(jsonPayload.name, \"^(${join("|", reverse(sort(keys(local.jobs))))})-\")"
    state = "EXTRACT(jsonPayload.state)"
  }
}

# No success for so many hours, whatever the reason: paused, refused, failed, stuck, or never begun. A condition for
# absent data would not do: it ends at 23.5 hours, and says nothing of a series that has never been there. Above 25 hours
# this is what Cloud Monitoring calls a long lookback. It opens when it is made, until the first run has succeeded.
resource "google_monitoring_alert_policy" "missing" {
  for_each = local.promised

  project               = local.project
  display_name          = "${var.name}: ${each.value.job} is missing"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "No success within ${each.value.success_within_hours} hours"

    condition_prometheus_query_language {
      query                     = "(sum(increase(${local.jobs_ended}{monitored_resource=\"cloud_run_revision\",state=~\"DONE|DRAINED\",name=\"${each.value.job}\"}[${each.value.success_within_hours}h])) or vector(0)) < 0.5"
      duration                  = "0s"
      evaluation_interval       = "300s"
      disable_metric_validation = true
    }
  }

  documentation {
    content   = "${var.runbook}, A missed schedule. Look whether schedule ${var.name}-${each.key} fired, and what became of its run."
    mime_type = "text/markdown"
  }

  depends_on = [google_logging_metric.jobs]
}

# Cloud Scheduler gave up, or the service met what a person must mend.
resource "google_monitoring_alert_policy" "errors" {
  project               = local.project
  display_name          = "${var.name}: a request was not carried out"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "Error of a schedule or of the service"

    condition_matched_log {
      filter = "severity>=ERROR AND ((resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=~\"^${var.name}-\") OR (resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}-launch\"))"
    }
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content   = "${var.runbook}, A missed schedule. The log entry says what was refused and why."
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_alert_policy" "undelivered" {
  count = length(local.pushes) + length(local.pulls) > 0 ? 1 : 0

  project               = local.project
  display_name          = "${var.name}: messages wait"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = var.labels

  dynamic "conditions" {
    for_each = length(local.pushes) > 0 ? ["dead letters"] : []

    content {
      display_name = "Messages in a dead-letter topic"

      condition_threshold {
        filter          = "metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = monitoring.regex.full_match(\"^(${join("|", [for dead in google_pubsub_subscription.dead : dead.name])})$\")"
        comparison      = "COMPARISON_GT"
        threshold_value = 0
        duration        = "0s"

        aggregations {
          alignment_period   = "300s"
          per_series_aligner = "ALIGN_MAX"
        }
      }
    }
  }

  dynamic "conditions" {
    for_each = length(local.pulls) > 0 ? ["streams"] : []

    content {
      display_name = "What landed is not read: the streaming job is not running, or stuck"

      condition_threshold {
        filter          = "metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = monitoring.regex.full_match(\"^(${join("|", [for stream in google_pubsub_subscription.stream : stream.name])})$\")"
        comparison      = "COMPARISON_GT"
        threshold_value = 3600
        duration        = "300s"

        aggregations {
          alignment_period   = "300s"
          per_series_aligner = "ALIGN_MAX"
        }
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    content   = "${var.runbook}, Messages wait."
    mime_type = "text/markdown"
  }
}
