output "wharf" {
  description = "What the module made."
  value       = module.wharf
}
