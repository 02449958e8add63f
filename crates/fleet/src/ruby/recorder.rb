# frozen_string_literal: true

module Hostler
  # Reads `hpc_config.rb` and notes what it says: each word with its arguments, its place, and the nodes that it is about.
  # Nothing is done about it here. Words that nobody knows are noted like all others.
  class Recorder
    # Stands for what comes from libraries that are not here, e.g. a schedule made by hand.
    class Absent < Module
      def initialize(name)
        super()
        @name = name
      end

      def inspect
        @name.to_s
      end
      alias to_s inspect

      def const_missing(name)
        Absent.new("#{@name}::#{name}")
      end

      def method_missing(name, ...)
        Absent.new("#{@name}.#{name}")
      end

      def respond_to_missing?(...)
        true
      end
    end

    def self.const_missing(name)
      Absent.new(name)
    end

    attr_reader :hybrid_platforms_dir

    def initialize(directory)
      @hybrid_platforms_dir = directory
      @nodes = []
      @said = []
    end

    def record(file)
      include_config_from(file)
      @said
    end

    def include_config_from(file)
      instance_eval(File.read(file), file)
    end

    def for_nodes(selectors)
      @nodes << Selectors.texts(selectors)
      yield
    ensure
      @nodes.pop
    end

    def daily_at(time, duration: 3000)
      { 'every' => 'day', 'at' => time, 'seconds' => duration }
    end

    def weekly_at(days, time, duration: 3000)
      { 'every' => Array(days).map(&:to_s), 'at' => time, 'seconds' => duration }
    end

    # What is put before a command to run it as another user: the block is tried with two.
    def sudo_for
      note('sudo_for', { 'root' => yield('root'), 'somebody' => yield('somebody') })
    end

    def on_hdfs(**options)
      note('on_hdfs', options)
    end

    def log_debug?
      false
    end

    # `TYPE_platform` and everything else that has no meaning while reading.
    def method_missing(word, *arguments, &block)
      type = word[/\A(.+)_platform\z/, 1]
      return note(word, *arguments, block) unless type

      place = arguments.first.is_a?(Hash) ? arguments.first : {}
      note('platform', { type: type }.merge(place))
      block&.call(directory_of(place))
    end

    def respond_to_missing?(...)
      true
    end

    # A library that is not here may be needed for a part only.
    def require(library)
      super
    rescue LoadError => e
      note('require', library, e.message.lines.first.chomp)
      false
    end

    # As JSON can carry it. What it cannot says what it is.
    def self.plain(value)
      case value
      when nil, true, false, Integer, Float, String then value
      when Symbol then value.to_s
      when Regexp then "/#{value.source}/"
      when Array then value.map { |v| plain(v) }
      when Hash then value.to_h { |k, v| [k.to_s, plain(v)] }
      when Proc then { '$code' => 'a block' }
      else { '$code' => value.inspect }
      end
    end

    private

    def note(word, *arguments)
      line = caller_locations.find { |l| !l.path.start_with?('-e', '<') }
      arguments = arguments.compact.map { |a| Recorder.plain(a) }
      @said << { word: word.to_s, arguments: arguments, place: "#{line.path}:#{line.lineno}", nodes: @nodes.dup }
      nil
    end

    # Where a platform is. One that is fetched by git has been put below the directory of the configuration.
    def directory_of(place)
      return File.expand_path(place[:path], @hybrid_platforms_dir) if place[:path]

      name = place[:name] || File.basename(place[:git].to_s, '.git')
      "#{@hybrid_platforms_dir}/cloned_platforms/#{name}"
    end
  end
end
