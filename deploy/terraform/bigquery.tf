locals {
  # Where each pipeline records its runs: [dataset, table]. As the launch configuration reads it: what `tables` says,
  # else the flag of a job, else the pipeline's own default.
  runs_tables = {
    for pipeline, at in {
      bigquery_to_avro  = { key = "exports", flag = "metadata_table", default = "wharf.exports" }
      bigquery_to_sftp  = { key = "deliveries", flag = "", default = "wharf.exports" }
      files_to_bigquery = { key = "loads", flag = "load_state_table", default = "bigquery_loads.serverless_bq_loads" }
      api_to_bigquery   = { key = "fetches", flag = "", default = "wharf.api_fetches" }
      } : pipeline => regex("([^.:]+)[.]([^.]+)$", coalesce(concat(
        [try(local.launch.tables[at.key], "")],
        [for job in values(local.jobs) : try(job.parameters[at.flag], "") if job.pipeline == pipeline],
        [at.default],
    )...))
    if contains(local.pipelines, pipeline)
  }
  shapes = {
    bigquery_to_avro  = { "" = "runs", "_files" = "files" }
    bigquery_to_sftp  = { "" = "runs", "_files" = "files", "_ties" = "ties" }
    files_to_bigquery = { "" = "loads", "_files" = "load_files", "_rejects" = "rejects" }
    api_to_bigquery   = { "" = "fetches" }
  }
  # dataset.table -> what is in it; two pipelines may record in one table.
  ledger = merge([
    for pipeline, name in local.runs_tables : {
      for suffix, shape in local.shapes[pipeline] : "${name[0]}.${name[1]}${suffix}" => {
        dataset = name[0]
        table   = "${name[1]}${suffix}"
        content = jsondecode(file("${path.module}/ledger/${shape}.json"))
      }
    }
  ]...)
  ledger_datasets = { for pipeline, name in local.runs_tables : pipeline => name[0] }
  datasets        = merge({ for dataset in distinct(values(local.ledger_datasets)) : dataset => { table_days = null } }, var.datasets)
}

resource "google_bigquery_dataset" "this" {
  for_each = local.datasets

  project                     = local.project
  dataset_id                  = each.key
  location                    = var.location
  default_table_expiration_ms = each.value.table_days == null ? null : each.value.table_days * 86400000
  delete_contents_on_destroy  = false
  labels                      = var.labels
}

# Made here before the first run makes them, so that they are protected and partitioned as they should be. Columns are
# Wharf's from then on: a newer release adds what it lacks, and Terraform of an older one would drop it with its data.
resource "google_bigquery_table" "ledger" {
  for_each = local.ledger

  project             = local.project
  dataset_id          = google_bigquery_dataset.this[each.value.dataset].dataset_id
  table_id            = each.value.table
  deletion_protection = true
  clustering          = each.value.content.clustering.fields
  schema              = jsonencode(each.value.content.schema.fields)
  labels              = var.labels

  time_partitioning {
    type  = each.value.content.timePartitioning.type
    field = each.value.content.timePartitioning.field
  }

  lifecycle {
    ignore_changes = [schema]
  }
}
