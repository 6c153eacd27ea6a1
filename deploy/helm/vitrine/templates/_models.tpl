{{/*
Weights and prompts: a claim of the user's, or a copy out of an image.
*/}}

{{- define "vitrine.models.volumes" -}}
{{- if .Values.models.existingClaim }}
models:
  persistentVolumeClaim:
    claimName: {{ .Values.models.existingClaim }}
    readOnly: true
{{- else }}
models:
  emptyDir:
    sizeLimit: {{ .Values.models.sizeLimit }}
{{- end }}
{{- end -}}

{{/* Where weights come from: the claim or the image. */}}
{{- define "vitrine.models.source" -}}
{{- default (include "vitrine.image" (dict "root" . "image" .Values.models.image)) .Values.models.existingClaim -}}
{{- end -}}

{{/* Not empty where older models are served beside the new ones. */}}
{{- define "vitrine.models.previous" -}}
{{- or .Values.models.previous.digest .Values.models.previous.tag -}}
{{- end -}}

{{/* An init container that copies models into a volume: dict root, values, name, image, volume, folder. */}}
{{- define "vitrine.models.copy" -}}
- name: {{ .name }}
  image: {{ include "vitrine.image" (dict "root" .root "image" .image) }}
  imagePullPolicy: {{ .image.pullPolicy }}
  command: ["cp", "-r", "/models/{{ default "." .folder }}", "/copy/"]
  {{- with .values.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  resources:
    {{- toYaml .root.Values.models.resources | nindent 4 }}
  volumeMounts:
    - mountPath: /copy
      name: {{ .volume }}
{{- end -}}

{{/* The image of older models: the same repository. */}}
{{- define "vitrine.models.previousImage" -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.models.image) (deepCopy .Values.models.previous)) -}}
{{- end -}}
