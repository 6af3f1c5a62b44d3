{{/* What the operator may do where runs live. No wildcard, nothing about Secrets. */}}
{{- define "lora-operator.rules" -}}
# Runs and their pods are read only.
- apiGroups: [lora-operator.dev, ""]
  resources: [lorafinetunes, pods]
  verbs: [get, list, watch]
- apiGroups: [lora-operator.dev]
  resources: [lorafinetunes/status]
  verbs: [patch]
# Owner references that block deletion, where the cluster checks them (OpenShift).
- apiGroups: [lora-operator.dev]
  resources: [lorafinetunes/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# Why a Job could not make its pods stands in Events alone.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if .Values.kueue.enabled }}
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [get, list, watch, patch]
# The place of a run in its queue.
- apiGroups: [visibility.kueue.x-k8s.io]
  resources: [localqueues/pendingworkloads]
  verbs: [get]
{{- end }}
{{- end }}

{{/* Who is asking: tokens of pods that report progress. Reviews exist at cluster scope only. */}}
{{- define "lora-operator.tokenRules" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}
