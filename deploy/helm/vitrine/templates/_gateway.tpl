{{/* Where the gateway is called over gRPC, from anywhere in the cluster: the root. */}}
{{- define "vitrine.gateway.address" -}}
{{- printf "%s-gateway.%s.svc:50051" (include "vitrine.fullname" .) .Release.Namespace -}}
{{- end -}}

{{/*
What both roles of the gateway have: a place for data, and the public keys of tokens.
*/}}

{{- define "vitrine.gateway.volumes" -}}
data:
  emptyDir:
    sizeLimit: 256Mi
{{- with .Values.access }}
{{- if and (eq .mode "keys") .jwt.existingConfigMap }}
jwt:
  configMap:
    name: {{ .jwt.existingConfigMap }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "vitrine.gateway.mounts" -}}
/data:
  name: data
{{- with .Values.access }}
{{- if and (eq .mode "keys") .jwt.existingConfigMap }}
/jwt:
  name: jwt
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}
