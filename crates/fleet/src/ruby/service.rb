# frozen_string_literal: true

module Hostler
  # Evaluates the methods of `service_NAME.rb`, and gives what they want done as plain data. Blocks of code stay here and
  # are called by number when their turn comes.
  class Services
    def initialize(directory)
      @nodes_handler = NodesHandler.new
      @config = Config.new(directory)
      @cmd_runner = CmdRunner.new
      @texts = {}
      @blocks = {}
    end

    # The actions of `check` or `deploy` for a node.
    def actions(request)
      node = request['node']
      @nodes_handler.learn(node, request['metadata'])
      file = "#{request['directory']}/service_#{request['service']}.rb"
      service = instance(file, PlatformHandler.new(request['platform'], request['directory'], 'yaml_inventory'))
      list = service.send(request['method'], node)
      raise TypeError, "#{request['method']} gave #{list.class}, not an array of actions" unless list.is_a?(Array)

      secrets = []
      { actions: list.flat_map { |action| Action.plain(action, node, secrets, @blocks) }, secrets: secrets.uniq }
    end

    # Runs a block of code of an action.
    def call(number)
      block, node = @blocks.fetch(number)
      streams = %i[stdout stderr].map { |stream| Output.new(stream, Request.current) }
      block.call(*streams, Running.new(node, @cmd_runner), nil)
      nil
    end

    private

    # A fresh class for each use, so that no service meets the methods of another.
    def instance(file, platform_handler)
      text = (@texts[file] ||= File.read(file))
      service = Class.new { include Saying }
      service.define_method(:inspect) { File.basename(file) }
      service.class_eval(text, file)
      variables = { platform_handler: platform_handler, config: @config, nodes_handler: @nodes_handler,
                    cmd_runner: @cmd_runner }
      service.new.tap { |s| variables.each { |name, value| s.instance_variable_set("@#{name}", value) } }
    end
  end

  # What a block of code gets to know of its action.
  class Running
    attr_reader :node

    def initialize(node, cmd_runner)
      @node = node
      @cmd_runner = cmd_runner
    end

    def run_cmd(command, **options)
      @cmd_runner.run_cmd(command, **options)
    end
  end

  # Actions as data.
  module Action
    KINDS = %w[remote_bash bash scp ruby interactive].freeze

    module_function

    # One hash may hold several, in the order of its keys.
    def plain(action, node, secrets, blocks)
      raise TypeError, "an action is a hash, not #{action.inspect}" unless action.is_a?(Hash)

      action.map do |kind, what|
        case kind.to_s
        when 'remote_bash' then { kind: kind, script: script(what, secrets) }
        when 'bash' then { kind: kind, script: text(what, secrets) }
        when 'scp' then copy(what)
        when 'ruby' then block(what, node, blocks)
        when 'interactive' then { kind: kind }
        else raise ArgumentError, "unknown action '#{kind}': there are #{KINDS.join(', ')}"
        end
      end
    end

    # One script of all commands, each with the variables that are set before it.
    def script(commands, secrets)
      parts = commands.is_a?(Array) ? commands : [commands]
      parts.flat_map do |part|
        next text(part, secrets) unless part.is_a?(Hash)

        exports = (part[:env] || {}).map { |name, value| "export #{name}=#{quoted(text(value, secrets))}" }
        exports + Array(part[:commands]).map { |c| text(c, secrets) } + Array(part[:file]).map { |f| File.read(f) }
      end.join("\n")
    end

    def quoted(value)
      "'#{value.gsub("'") { %q('\'') }}'"
    end

    def copy(what)
      properties = what.select { |key, _| %i[sudo owner group].include?(key) }
      files = what.reject { |key, _| properties.key?(key) }.map { |from, to| [File.expand_path(from.to_s), to.to_s] }
      { kind: 'scp', files: files, sudo: properties[:sudo] ? true : false, owner: properties[:owner],
        group: properties[:group] }
    end

    def block(what, node, blocks)
      code = what.is_a?(Hash) ? what[:code] : what
      raise TypeError, 'a ruby action is a block of code' unless code.respond_to?(:call)
      raise NotImplementedError, 'need_remote is not carried: use a remote_bash action' if what.is_a?(Hash) && what[:need_remote]

      blocks[blocks.size] = [code, node]
      { kind: 'ruby', block: blocks.size - 1 }
    end

    # A text, as it is; a secret one is remembered, so that Hostler hides it.
    def text(value, secrets)
      return value.to_s unless value.is_a?(SecretString)

      secrets << value.to_unprotected
      value.to_unprotected
    end
  end
end

# A text that prints as something else.
class SecretString
  def self.protect(text, silenced_str: 'XXXXX')
    yield new(text, silenced_str: silenced_str)
  end

  def initialize(text, silenced_str: 'XXXXX')
    @text = text
    @silenced = silenced_str
  end

  def to_unprotected
    @text
  end

  def to_s
    @silenced
  end
  alias inspect to_s

  def erase; end
end
