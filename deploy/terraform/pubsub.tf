locals {
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  topics       = merge({ launch = "${var.name}-launch" }, { for name in keys(var.landings) : name => "${var.name}-landed-${name}" })
  # What the service is pushed; each has a dead-letter topic, for what it refuses and what stays undelivered.
  pushes = local.has_service ? merge(
    { launch = "/pubsub" },
    { for name, landing in var.landings : name => "/events/storage" if landing.delivery == "event" },
  ) : {}
  pulls = { for name, landing in var.landings : name => landing if landing.delivery == "stream" }
}

# `launch` takes requests for runs from everywhere else; the others what Cloud Storage tells of objects.
resource "google_pubsub_topic" "this" {
  for_each = local.topics

  project = local.project
  name    = each.value
  labels  = var.labels
}

resource "google_pubsub_topic" "dead" {
  for_each = local.pushes

  project = local.project
  name    = "${local.topics[each.key]}-dead"
  labels  = var.labels
}

# Without a subscription a topic forgets.
resource "google_pubsub_subscription" "dead" {
  for_each = local.pushes

  project                    = local.project
  name                       = google_pubsub_topic.dead[each.key].name
  topic                      = google_pubsub_topic.dead[each.key].id
  message_retention_duration = "2678400s" # 31 days, the longest there is
  labels                     = var.labels

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription" "push" {
  for_each = local.pushes

  project                    = local.project
  name                       = local.topics[each.key]
  topic                      = google_pubsub_topic.this[each.key].id
  ack_deadline_seconds       = 120 # a launch may wait for Dataflow
  message_retention_duration = "604800s"
  labels                     = var.labels

  push_config {
    push_endpoint = "${google_cloud_run_v2_service.launch[0].uri}${each.value}"

    oidc_token {
      service_account_email = google_service_account.invoker.email
      audience              = google_cloud_run_v2_service.launch[0].uri
    }
  }

  # Ten attempts take about an hour: a quota that is used up, or a deployment, is over by then.
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead[each.key].id
    max_delivery_attempts = 10
  }

  expiration_policy {
    ttl = ""
  }

  depends_on = [google_service_account_iam_member.pubsub_signs, google_cloud_run_v2_service_iam_member.invoker]
}

# What a streaming job reads. No dead letters: Dataflow holds on to what it cannot process, and Pub/Sub would take that
# for a failure (https://cloud.google.com/dataflow/docs/concepts/streaming-with-cloud-pubsub#unsupported-features).
resource "google_pubsub_subscription" "stream" {
  for_each = local.pulls

  project                    = local.project
  name                       = local.topics[each.key]
  topic                      = google_pubsub_topic.this[each.key].id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"
  labels                     = var.labels

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription_iam_member" "stream" {
  for_each = contains(local.pipelines, "files_to_bigquery") ? {
    for pair in setproduct(keys(local.pulls), ["roles/pubsub.subscriber", "roles/pubsub.viewer"]) : "${pair[0]} ${pair[1]}" => pair
  } : {}

  project      = local.project
  subscription = google_pubsub_subscription.stream[each.value[0]].name
  role         = each.value[1]
  member       = google_service_account.worker["files_to_bigquery"].member
}

data "google_storage_project_service_account" "this" {
  project = local.project
}

resource "google_pubsub_topic_iam_member" "storage_publishes" {
  for_each = var.landings

  project = local.project
  topic   = google_pubsub_topic.this[each.key].name
  role    = "roles/pubsub.publisher"
  member  = data.google_storage_project_service_account.this.member
}

resource "google_storage_notification" "landed" {
  for_each = var.landings

  bucket             = each.value.bucket
  object_name_prefix = each.value.prefix == "" ? null : each.value.prefix
  topic              = google_pubsub_topic.this[each.key].id
  payload_format     = "JSON_API_V1"
  event_types        = ["OBJECT_FINALIZE"]
  depends_on         = [google_storage_bucket.data, google_pubsub_topic_iam_member.storage_publishes]
}

# Pub/Sub moves messages to the dead-letter topic, and takes them off the subscription, as its own service agent.
resource "google_pubsub_topic_iam_member" "dead" {
  for_each = local.pushes

  project = local.project
  topic   = google_pubsub_topic.dead[each.key].name
  role    = "roles/pubsub.publisher"
  member  = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead" {
  for_each = local.pushes

  project      = local.project
  subscription = google_pubsub_subscription.push[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# It also signs the tokens that it pushes with.
resource "google_service_account_iam_member" "pubsub_signs" {
  service_account_id = google_service_account.invoker.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}
