" Vim syntax of Portcullis' gateway.conf. A test holds it to every directive that there is.
if exists("b:current_syntax")
  finish
endif

" A directive is the first word of a statement.
syn match gatewayStatement "\%(^\|[{};]\)\@1<=\s*\zs[a-z_]\+\>" contains=gatewayDirective
syn keyword gatewayDirective contained
  \ access_log add_prefix add_response_header address admin algorithms allow answer answer_timeout as at_most
  \ audience auth authorizer backoff balance basic_password body breaker budget burst by cache cap case_insensitive
  \ certificate challenge claim client_limits cluster compress concurrent connect_timeout connections
  \ connections_per_address consecutive continuations control_frames cookie cors cost count_status credentials
  \ critical csrf csrf_origins database decisions delay download_rate drain_timeout ejection endpoint error_page
  \ except expect expose failed_tokens fair fall fields for forget forward_host forward_token from grow handshake
  \ head head_size header headers health health_check host hsts htpasswd idle idle_timeout include interval issuer
  \ keep_cookie keepalive key key_secret keys lease leeway limit limit_table listen lockout maintenance master max
  \ max_age max_body_size max_connections max_fields max_query max_requests max_stale max_waiting memory method
  \ methods metrics min_size minimum network on on_expiry on_refusal open origin pass_response password
  \ password_file path per_try plaintext port prefix protocol protocols proxy proxy_protocol public query quota
  \ rate realm recheck redirect redis rehash_after remove_header remove_response_header requests
  \ requests_per_connection requests_per_subject require require_content_type reserve reset_status resets resolver
  \ retry retry_after retry_jitter rewrite_redirects rise route same_site sample scope scope_claims scope_match
  \ scopes secret security_headers security_log segments send sentinel server server_name service set_header
  \ set_response_header shadow shards share shutdown_delay sign_in srv starts status sticky store
  \ stream_drain_timeout stream_timeout stream_window streams strip_cookie strip_prefix subject_claims target_size
  \ test tests ticket_rotation timeout timeouts timezone tls together token token_cache token_types tracing tries
  \ trusted_certificate trusted_fields trusted_proxies types until upgrade upload_rate upstream url user username
  \ when_all_down when_fails when_store_fails window workers write
syn match gatewayComment "\%(^\|[ \t;{}]\)\@1<=#.*$" contains=@Spell
syn region gatewayString start=+"+ skip=+\\.+ end=+"+ contains=gatewayVariable
syn region gatewayString start=+'+ skip=+\\.+ end=+'+ contains=gatewayVariable
syn match gatewayVariable "\$\%({[A-Za-z0-9_]\+}\|([^)]\+)\|[A-Za-z_][A-Za-z0-9_.:/-]*\)"
syn match gatewayNumber "\<\d\+\%(\.\d\+\)\?\%(ms\|s\|m\|h\|d\|k\|g\|%\)\?\%(/\w\+\)\?\>"
syn match gatewayPath "\%(\s\)\@1<=/[^ \t;{}]*" contains=gatewayCapture
syn match gatewayCapture "{[a-z_]\+}\|\*\+" contained

hi def link gatewayDirective Statement
hi def link gatewayComment Comment
hi def link gatewayString String
hi def link gatewayVariable Identifier
hi def link gatewayNumber Number
hi def link gatewayPath Constant
hi def link gatewayCapture Special

let b:current_syntax = "gateway-conf"
