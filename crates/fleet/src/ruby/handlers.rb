# frozen_string_literal: true

module Hostler
  # `@nodes_handler`: any property of any node. What came along with the request is known; the rest is asked for once.
  class NodesHandler
    def initialize
      @known = Hash.new { |nodes, name| nodes[name] = {} }
    end

    # Metadata that Hostler gives along.
    def learn(node, metadata)
      @known[node].merge!(metadata)
    end

    def metadata_of(node, property)
      of_node = @known[node.to_s]
      property = property.to_s
      return of_node[property] if of_node.key?(property)

      of_node[property] = Request.wire.ask(property: property, node: node.to_s)
    end

    # Nothing has to be fetched ahead.
    def prefetch_metadata_of(_nodes, _properties); end

    def known_nodes
      select_nodes([{ all: true }])
    end

    def nodes_from_list(list, **_options)
      select_nodes([{ list: list }])
    end

    def select_nodes(*selectors, **_options)
      Request.wire.ask(select: Selectors.texts(selectors))
    end

    def for_each_node_in(nodes, **_options, &block)
      nodes.each(&block)
    end

    def method_missing(name, *args)
      property = name[/\Aget_(.+)_of\z/, 1]
      property ? metadata_of(args.fetch(0), property) : super
    end

    def respond_to_missing?(name, include_private = false)
      name.match?(/\Aget_.+_of\z/) || super
    end
  end

  # Selectors as Hostler writes them.
  module Selectors
    def self.texts(selectors)
      [selectors].flatten.flat_map do |selector|
        next (selector.to_s.start_with?('/') ? selector.to_s : "node:#{selector}") unless selector.is_a?(Hash)

        selector.map do |kind, name|
          case kind.to_s
          when 'all' then 'all'
          when 'git_diff' then change(**name)
          else "#{kind}:#{name}"
          end
        end
      end
    end

    def self.change(platform:, from_commit: nil, to_commit: nil, smallest_set: false)
      "git:#{platform}:#{from_commit}:#{to_commit}:#{'min' if smallest_set}"
    end
  end

  # `@platform_handler`: the directory that a service comes from.
  PlatformHandler = Struct.new(:name, :repository_path, :platform_type)

  # `@config`: what `hpc_config.rb` says, where there is one.
  class Config
    attr_reader :hybrid_platforms_dir

    def initialize(directory)
      @hybrid_platforms_dir = directory
    end

    def known_os_images
      os_images.keys
    end

    def os_image_dir(image)
      os_images[image.to_s]
    end

    private

    def os_images
      @os_images ||= begin
        file = "#{@hybrid_platforms_dir}/hpc_config.rb"
        said = File.exist?(file) ? Recorder.new(@hybrid_platforms_dir).record(file) : []
        said.select { |s| s[:word] == 'os_image' }.to_h { |s| s[:arguments] }
      end
    end
  end

  # `@cmd_runner`: programs on this machine.
  class CmdRunner
    class UnexpectedExitCodeError < StandardError; end
    class TimeoutError < StandardError; end

    # The exit code (`:timeout` or `:command_error` where there is none), the output, the errors.
    def run_cmd(command, log_to_stdout: true, log_to_file: nil, log_stdout_to_io: nil, log_stderr_to_io: nil,
                expected_code: 0, timeout: nil, no_exception: false, force_bash: false)
      files = log_to_file ? [File.open(log_to_file, 'a')] : []
      outs = [log_stdout_to_io, (log_to_stdout ? $stdout : nil), *files].compact
      errs = [log_stderr_to_io, (log_to_stdout ? $stderr : nil), *files].compact
      ended = run(force_bash ? ['/bin/bash', '-c', command] : [command], outs, errs, timeout)
      expected = Array(expected_code)
      return ended if no_exception || expected.include?(ended.first)

      failed = "'#{command.lines.first&.chomp}' ended with #{ended.first}, not #{expected.join(' or ')}"
      raise ended.first == :timeout ? TimeoutError : UnexpectedExitCodeError, failed
    ensure
      files&.each(&:close)
    end

    def whoami
      require 'etc'
      Etc.getpwuid.name
    end

    def root?
      Process.uid.zero?
    end

    private

    def run(command, outs, errs, timeout)
      Open3.popen3(*command, pgroup: true) do |input, out, err, process|
        input.close
        texts = { out => outs, err => errs }.map { |io, copies| Thread.new { tee(io, copies) } }
        in_time = process.join(timeout)
        Process.kill(:KILL, -process.pid) unless in_time
        [in_time ? process.value.exitstatus : :timeout, *texts.map(&:value)]
      end
    rescue SystemCallError => e
      [:command_error, '', e.message]
    end

    def tee(io, copies)
      io.each_line.with_object(+'') do |line, all|
        all << line
        copies.each { |copy| copy << line }
      end
    end
  end

  # What service files may call to say something.
  module Saying
    def out(message = '')
      $stdout.puts(message)
    end

    def err(message = '')
      $stderr.puts(message)
    end

    def section(name)
      out "===== #{name} ==== Begin..."
      yield
    ensure
      out "===== #{name} ==== ...End"
      out
    end

    def log_debug?
      false
    end

    def log_debug(_message); end

    def log_info(message)
      out(message)
    end

    def log_warn(message)
      err("warning: #{message}")
    end

    def log_error(message)
      err("error: #{message}")
    end
    alias log_fatal log_error
    alias log_unknown log_info
  end
end
