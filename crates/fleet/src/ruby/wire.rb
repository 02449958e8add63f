# frozen_string_literal: true

require 'json'
require 'stringio'

module Hostler
  # The conversation with Hostler: one JSON object per line, in on what was the standard input, out on what was the
  # standard output. User code never sees either: its own input is empty, and what it prints becomes messages.
  class Wire
    def initialize
      @in = $stdin.dup
      @out = $stdout.dup
      [@in, @out].each { |io| io.close_on_exec = true }
      @out.sync = true
      $stdin.reopen(File::NULL)
      @sending = Mutex.new
      @waiting = {}
    end

    def tell(message)
      line = JSON.generate(message) << "\n"
      @sending.synchronize { @out.write(line) }
    end

    # Gives each request to the block. Answers go to the threads that asked.
    def each_request
      @in.each_line do |line|
        message = JSON.parse(line)
        if message.key?('answer')
          @sending.synchronize { @waiting.delete(message['answer']) }&.push(message)
        else
          yield message
        end
      end
    end

    # Asks Hostler in the name of the request that this thread works for, and waits.
    def ask(question)
      answer = Queue.new
      id = answer.object_id
      @sending.synchronize { @waiting[id] = answer }
      tell(id: Request.current.id, ask: id, question: question)
      message = answer.pop
      raise message['error'] if message['error']

      message['value']
    end
  end

  # What Hostler asked for, while it is worked on. Its threads, those that user code starts too, are one group, by which
  # output finds the request that it belongs to.
  class Request
    class << self
      attr_accessor :wire, :capture

      def current
        running.reverse.find { |request| request.group == Thread.current.group } || running.last
      end

      # In the order of their beginning.
      def running
        @running ||= []
      end
    end

    attr_reader :id, :group

    # Runs the block for a request and reports how it ended.
    def self.run(id)
      new(id).run { yield }
    end

    def initialize(id)
      @id = id
      @group = ThreadGroup.new
    end

    def run
      @group.add(Thread.current)
      Request.running << self
      ending = outcome { yield }
      Request.capture.drain
      Request.wire.tell(ending.merge(id: @id))
    ensure
      Request.running.delete(self)
      ThreadGroup::Default.add(Thread.current)
    end

    def write(stream, text)
      text = text.dup.force_encoding(Encoding::UTF_8).scrub
      Request.wire.tell(id: @id, stream: stream, text: text) unless text.empty?
    end

    private

    # Whatever user code throws, `exit` included, ends its request and nothing else.
    def outcome
      { result: yield }
    rescue Exception => e # rubocop:disable Lint/RescueException
      { error: Failure.describe(e) }
    end
  end

  # What user code has as its standard streams.
  class Output < StringIO
    def initialize(stream, request = nil)
      super()
      @stream = stream
      @request = request
    end

    def write(*texts)
      text = texts.join
      (@request || Request.current)&.write(@stream, text)
      text.bytesize
    end
  end

  # Takes what goes to the real standard streams, which is what programs print that user code starts. It belongs to the
  # request that began last. Whole lines only, so that no character is cut.
  class Capture
    def initialize
      @mark = "\0hostler #{rand(2**64).to_s(36)}\0\n"
      @seen = Queue.new
      @pipes = { stdout: $stdout, stderr: $stderr }.map { |stream, io| capture(stream, io) }
      $stdout = Output.new(:stdout)
      $stderr = Output.new(:stderr)
    end

    # Returns when all that was printed until now has been sent.
    def drain
      @pipes.each { |pipe| pipe.write(@mark) }
      @pipes.each { @seen.pop }
    end

    private

    def capture(stream, real)
      reader, writer = IO.pipe
      real.reopen(writer)
      real.sync = true
      Thread.new { forward(stream, reader) }
      real
    end

    def forward(stream, reader)
      reader.each_line do |line|
        marked = line.end_with?(@mark)
        Request.running.last&.write(stream, line.delete_suffix(@mark))
        @seen << stream if marked
      end
    end
  end

  # An exception as Hostler shows it.
  module Failure
    # The directories whose files are the user's.
    HOMES = [] # rubocop:disable Style/MutableConstant

    def self.describe(error)
      place, message = in_source(error) || [place_of(error), error.message]
      kind = error.class.name unless [RuntimeError, SyntaxError].include?(error.class)
      { message: message.strip, kind: kind, place: place }
    end

    # A file that cannot be read as Ruby says where itself.
    def self.in_source(error)
      return unless error.is_a?(SyntaxError)

      found = error.message.match(/\A(?<place>.+?:\d+): (?<text>.*)\z/m)
      [found[:place], found[:text]] if found
    end

    # The innermost line that is the user's.
    def self.place_of(error)
      lines = error.backtrace || []
      line = lines.find { |l| HOMES.any? { |home| l.start_with?("#{home}/") } }
      line && line[/\A.+?:\d+/]
    end
  end
end
