{{/*
The pod of a job or a test, which runs the command `vitrine`: dict
  root         the root
  component    import, generation, snapshot or test
  arguments    of the command, as a list
  volumes      further volumes, as a map of name to volume
  mounts       further mounts, as a map of path to mount
  annotations  further annotations of a job's pod, as a map
*/}}

{{- define "vitrine.job.labels" -}}
{{ include "vitrine.labels.pod" . }}
{{- with .root.Values.jobs.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "vitrine.job.spec" -}}
{{- $jobs := .root.Values.jobs -}}
{{- $component := dict "root" .root "component" "jobs" "values" $jobs -}}
{{- $environment := include "vitrine.environment.command" . | fromYaml -}}
{{- $volumes := dict "tmp" (dict "emptyDir" (dict "sizeLimit" "512Mi")) -}}
{{- $mounts := dict "/tmp" (dict "name" "tmp") -}}
{{- if .root.Values.tls.enabled -}}
{{- $certificate := dict "secretName" (include "vitrine.tls.secret" .) "defaultMode" 0440 -}}
{{- $_ := set $volumes "tls" (dict "secret" $certificate) -}}
{{- $_ := set $mounts "/tls" (dict "name" "tls" "readOnly" true) -}}
{{- end -}}
{{- include "vitrine.pod.placement" $component }}
restartPolicy: Never
{{- with $jobs.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "vitrine.image" (dict "root" .root "image" .root.Values.gateway.image) }}
    imagePullPolicy: {{ .root.Values.gateway.image.pullPolicy }}
    command: ["vitrine"]
    args:
      {{- toYaml .arguments | nindent 6 }}
    {{- with $jobs.containerSecurityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    env:
      {{- include "vitrine.env" $environment | trim | nindent 6 }}
      {{- with $jobs.extraEnvVars }}
      {{- include "vitrine.render" (dict "root" $.root "value" .) | nindent 6 }}
      {{- end }}
    resources:
      {{- toYaml $jobs.resources | nindent 6 }}
    volumeMounts:
      {{- include "vitrine.mounts" (merge $mounts (default dict .mounts)) | trim | nindent 6 }}
volumes:
  {{- include "vitrine.volumes" (merge $volumes (default dict .volumes)) | trim | nindent 2 }}
{{- end -}}

{{/* The pod template of a job. */}}
{{- define "vitrine.job.template" -}}
metadata:
  labels:
    {{- include "vitrine.job.labels" . | nindent 4 }}
  {{- with merge (dict) (default dict .annotations) .root.Values.jobs.podAnnotations .root.Values.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "vitrine.job.spec" . | nindent 2 }}
{{- end -}}

{{/*
A Job: the dict of the pod with `spec`, a map of the Job's own settings. Jobs cannot be changed, so its name
has a hash of what it does, and another definition is another Job. It stays when it is done: were it removed,
the next upgrade would run it again.
*/}}
{{- define "vitrine.job" -}}
{{- $spec := printf "%s\ntemplate:\n%s" (toYaml .spec) (include "vitrine.job.template" . | indent 2) -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- $name := printf "%s-%s-%s" (include "vitrine.fullname" .root) .component ($spec | sha256sum | trunc 8) }}
  {{- include "vitrine.metadata" (dict "root" .root "component" .component "name" $name) | nindent 2 }}
spec:
  {{- $spec | nindent 2 }}
{{- end -}}
