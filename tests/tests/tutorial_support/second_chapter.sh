# What the second chapter leaves behind, in our words: a fleet of one local node with one service.
set -e
hostname e8dddeb2ba25
mkdir -p ~/hpc_tutorial/my-platforms ~/hpc_tutorial/my-service-conf-repo
cd ~/hpc_tutorial/my-service-conf-repo
cat >inventory.yaml <<'END'
---
local:
  metadata:
    description: The local environment
    local_node: true
    service_port: 1107
    service_timeout: 60
  services:
    - my-service
END
cat >conf.erb <<'END'
service-port: <%= @port %>
service-timeout: <%= @timeout %>
<% if @log %>
service-logs: <%= @log %>
<% end %>
END
cat >service_my-service.rb <<'END'
CONF = '~/hpc_tutorial/node/my-service.conf'

def wanted(node)
  @port = @nodes_handler.get_service_port_of(node)
  @timeout = @nodes_handler.get_service_timeout_of(node)
  @log = @nodes_handler.get_service_log_of(node) || 'stdout'
  Erubis::Eruby.new(File.read("#{@platform_handler.repository_path}/conf.erb")).result(binding)
end

def check(node)
  [
    { remote_bash: "cat >/tmp/my-service.wanted <<'TEXT'\n#{wanted(node)}TEXT" },
    {
      remote_bash: <<~SCRIPT
        echo 'Differences of my-service.conf:'
        if [ -e #{CONF} ]; then
          diff #{CONF} /tmp/my-service.wanted || true
        else
          echo 'Create file from scratch'
          cat /tmp/my-service.wanted
        fi
      SCRIPT
    }
  ]
end

def deploy(node)
  check(node) + [{ remote_bash: ["mkdir -p #{File.dirname(CONF)}", "cp /tmp/my-service.wanted #{CONF}"] }]
end
END
git init -q -b master . && git config user.name Me && git config user.email me@example.org
git add . && git commit -qm 'First version'
cd ~/hpc_tutorial/my-platforms
cat >hpc_config.rb <<'END'
yaml_inventory_platform path: "#{Dir.home}/hpc_tutorial/my-service-conf-repo"
END
set +e
