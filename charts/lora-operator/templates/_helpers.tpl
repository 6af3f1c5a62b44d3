{{- define "lora-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Names leave room for suffixes within 63 characters. */}}
{{- define "lora-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "lora-operator.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "lora-operator.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "lora-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "lora-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lora-operator.testLabels" -}}
app.kubernetes.io/name: {{ include "lora-operator.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "lora-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "lora-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "lora-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "lora-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Reference of an image; the argument is {image, default tag}. */}}
{{- define "lora-operator.image" -}}
{{- if .image.digest }}
{{- printf "%s@%s" .image.repository .image.digest }}
{{- else }}
{{- printf "%s:%s" .image.repository (default .tag .image.tag) }}
{{- end }}
{{- end }}

{{- define "lora-operator.tlsSecretName" -}}
{{- if eq .Values.progress.tls.source "secret" }}
{{- required "progress.tls.secretName is needed with progress.tls.source secret" .Values.progress.tls.secretName }}
{{- else }}
{{- printf "%s-tls" (include "lora-operator.fullname" .) }}
{{- end }}
{{- end }}

{{- define "lora-operator.progressHost" -}}
{{- printf "%s.%s.svc" (include "lora-operator.fullname" .) .Release.Namespace }}
{{- end }}

{{/* Names under which pods may reach the progress endpoint, as a YAML list. */}}
{{- define "lora-operator.progressNames" -}}
- {{ include "lora-operator.progressHost" . }}
- {{ include "lora-operator.progressHost" . }}.{{ .Values.progress.clusterDomain }}
- {{ include "lora-operator.fullname" . }}.{{ .Release.Namespace }}
- {{ include "lora-operator.fullname" . }}
{{- end }}

{{/* Container settings that Pod Security `restricted` asks for. */}}
{{- define "lora-operator.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "lora-operator.podSecurityContext" -}}
runAsNonRoot: true
{{- with .Values.runAsUser }}
runAsUser: {{ int . }}
runAsGroup: {{ int . }}
fsGroup: {{ int . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}
