{{/* What the operator may do where runs live. No wildcard, nothing about Secrets. */}}
{{- define "lora-operator.rules" -}}
- apiGroups: [lora-operator.dev]
  resources: [lorafinetunes, lorasweeps]
  verbs: [get, list, watch]
- apiGroups: [lora-operator.dev]
  resources: [lorafinetunes/status, lorasweeps/status]
  verbs: [patch]
# The trials of sweeps are created and suspended; other runs are only read.
- apiGroups: [lora-operator.dev]
  resources: [lorafinetunes]
  verbs: [create, patch]
# Owner references that block deletion, where the cluster checks them (OpenShift).
- apiGroups: [lora-operator.dev]
  resources: [lorafinetunes/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# How the pods of a run on several nodes find each other; it goes with their Job.
- apiGroups: [""]
  resources: [services]
  verbs: [get, create]
# What may reach the pods of runs and what they may reach: one for all run pods of a namespace, which is listed to see
# that it is still there and replaced where the platform's settings changed, and one for each Job of several pods.
{{- if .Values.networkPolicy.runs.enabled }}
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, create]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  resourceNames: [lora-operator-runs]
  verbs: [update]
{{- end }}
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
  verbs: [list, watch, patch]
# The place of a run in its queue.
- apiGroups: [visibility.kueue.x-k8s.io]
  resources: [localqueues/pendingworkloads]
  verbs: [get]
{{- end }}
{{- end }}

{{/* Whether the operator asks nodes for the memory of their GPUs: not where it is confined to namespaces, or told. */}}
{{- define "lora-operator.readsNodes" -}}
{{- if and .Values.trainer.readGpuNodes (empty .Values.trainer.gpuMemory) (empty .Values.watchNamespaces) }}true{{ end }}
{{- end }}

{{/* The labels of nodes, which exist at cluster scope only. */}}
{{- define "lora-operator.nodeRules" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [list]
{{- end }}

{{/* Who is asking: tokens of pods that report progress. Reviews exist at cluster scope only. */}}
{{- define "lora-operator.tokenRules" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end }}
