" The usual names of Portcullis' configuration.
au BufRead,BufNewFile gateway.conf,*/portcullis/*.conf setfiletype gateway-conf
