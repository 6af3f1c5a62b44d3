{{/* Settings of the operator: one variable for each field of its Settings that the chart decides. */}}
{{- define "lora-operator.environment" -}}
{{- $trainer := .Values.trainer }}
- name: LORA_OPERATOR_TRAINER_IMAGE
  value: {{ include "lora-operator.image" (dict "image" $trainer.image "tag" .Chart.AppVersion) | quote }}
{{- if $trainer.prepareImage.repository }}
- name: LORA_OPERATOR_PREPARE_IMAGE
  value: {{ include "lora-operator.image" (dict "image" $trainer.prepareImage "tag" .Chart.AppVersion) | quote }}
{{- end }}
- name: LORA_OPERATOR_IMAGE_PULL_POLICY
  value: {{ $trainer.imagePullPolicy | quote }}
- name: LORA_OPERATOR_IMAGE_PULL_SECRETS
  value: {{ join "," $trainer.imagePullSecrets | quote }}
- name: LORA_OPERATOR_GPU_RESOURCE_NAME
  value: {{ $trainer.gpuResourceName | quote }}
- name: LORA_OPERATOR_GPU_MEMORY
  value: {{ $trainer.gpuMemory | quote }}
- name: LORA_OPERATOR_READ_GPU_NODES
  value: {{ include "lora-operator.readsNodes" . | default "false" | quote }}
- name: LORA_OPERATOR_GPU_PRICE_PER_HOUR
  value: {{ $trainer.gpuPricePerHour | toString | quote }}
- name: LORA_OPERATOR_GPU_PRICE_CURRENCY
  value: {{ $trainer.gpuPriceCurrency | quote }}
- name: LORA_OPERATOR_ALLOW_CPU
  value: {{ $trainer.allowCpu | quote }}
- name: LORA_OPERATOR_PREPARE_CPU
  value: {{ $trainer.prepare.cpu | quote }}
- name: LORA_OPERATOR_PREPARE_CPU_LIMIT
  value: {{ $trainer.prepare.cpuLimit | quote }}
- name: LORA_OPERATOR_TRAIN_CPU_LIMIT
  value: {{ $trainer.cpuLimit | quote }}
- name: LORA_OPERATOR_PREPARE_DEADLINE_SECONDS
  value: {{ int $trainer.prepare.deadlineSeconds | quote }}
- name: LORA_OPERATOR_PREPARE_MEMORY
  value: {{ $trainer.prepare.memory | quote }}
- name: LORA_OPERATOR_PREPARE_SCRATCH
  value: {{ $trainer.prepare.scratch | quote }}
- name: LORA_OPERATOR_PREPARE_EPHEMERAL_STORAGE
  value: {{ $trainer.prepare.ephemeralStorage | quote }}
- name: LORA_OPERATOR_TRAIN_SCRATCH
  value: {{ $trainer.scratch | quote }}
- name: LORA_OPERATOR_TRAIN_EPHEMERAL_STORAGE
  value: {{ $trainer.ephemeralStorage | quote }}
- name: LORA_OPERATOR_SHARED_MEMORY
  value: {{ $trainer.sharedMemory | quote }}
- name: LORA_OPERATOR_UNAVAILABLE_BUDGET_SECONDS
  value: {{ int $trainer.unavailableBudgetSeconds | quote }}
- name: LORA_OPERATOR_PROPAGATED_LABELS
  value: {{ join "," $trainer.propagatedLabels | quote }}
- name: LORA_OPERATOR_POD_ANNOTATIONS
  value: {{ toJson $trainer.podAnnotations | quote }}
- name: LORA_OPERATOR_POD_LABELS
  value: {{ toJson $trainer.podLabels | quote }}
- name: LORA_OPERATOR_EXTRA_ENV
  value: {{ toJson $trainer.extraEnv | quote }}
- name: LORA_OPERATOR_CA_BUNDLE
  value: {{ toJson $trainer.caBundle | quote }}
- name: LORA_OPERATOR_TRAIN_POD_SPEC
  value: {{ toJson $trainer.podSpec | quote }}
- name: LORA_OPERATOR_PREPARE_POD_SPEC
  value: {{ toJson $trainer.prepare.podSpec | quote }}
- name: LORA_OPERATOR_DEFAULT_S3_ENDPOINT
  value: {{ .Values.storage.defaultEndpoint | quote }}
- name: LORA_OPERATOR_ALLOWED_S3_ENDPOINTS
  value: {{ join "," .Values.storage.allowedEndpoints | quote }}
- name: LORA_OPERATOR_ALLOW_NODE_IDENTITY
  value: {{ .Values.storage.allowNodeIdentity | quote }}
- name: LORA_OPERATOR_NETWORK_POLICIES
  value: {{ .Values.networkPolicy.runs.enabled | quote }}
- name: LORA_OPERATOR_METADATA_ADDRESSES
  value: {{ join "," .Values.networkPolicy.runs.metadataAddresses | quote }}
- name: LORA_OPERATOR_RUN_EGRESS
  value: {{ include "lora-operator.runEgress" . | quote }}
- name: LORA_OPERATOR_DEFAULT_CACHE_CLAIM
  value: {{ .Values.cache.defaultClaim | quote }}
- name: LORA_OPERATOR_WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
- name: LORA_OPERATOR_LOG_FORMAT
  value: {{ .Values.log.format | quote }}
- name: LORA_OPERATOR_LOG_LEVEL
  value: {{ .Values.log.level | quote }}
{{- if .Values.leaderElection.enabled }}
- name: LORA_OPERATOR_LEASE_NAME
  value: {{ include "lora-operator.fullname" . | quote }}
- name: LORA_OPERATOR_LEASE_NAMESPACE
  value: {{ .Release.Namespace | quote }}
{{- end }}
{{- if .Values.progress.enabled }}
- name: LORA_OPERATOR_PROGRESS_URL
  value: {{ printf "https://%s:8443" (include "lora-operator.progressHost" .) | quote }}
- name: LORA_OPERATOR_PROGRESS_CA_FILE
  value: /etc/lora-operator/tls/ca.crt
- name: LORA_OPERATOR_TLS_CERT_FILE
  value: /etc/lora-operator/tls/tls.crt
- name: LORA_OPERATOR_TLS_KEY_FILE
  value: /etc/lora-operator/tls/tls.key
{{- end }}
{{- end }}

{{/* All that run pods may connect to, where the platform lists it: what it lists, names, and the operator's endpoint. */}}
{{- define "lora-operator.runEgress" -}}
{{- $rules := list }}
{{- with .Values.networkPolicy.runs.egress }}
{{- $rules = concat . (fromYamlArray (include "lora-operator.runEgress.always" $)) }}
{{- end }}
{{- toJson $rules }}
{{- end }}
{{- define "lora-operator.runEgress.always" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- if .Values.progress.enabled }}
- to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ .Release.Namespace }}}
      podSelector:
        matchLabels:
          {{- include "lora-operator.selectorLabels" . | nindent 10 }}
  ports: [{port: 8443, protocol: TCP}]
{{- end }}
{{- end }}
