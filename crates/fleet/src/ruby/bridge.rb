# frozen_string_literal: true

# The work: service files one after the other, blocks of code beside each other, as that system does it.
module Hostler
  directory = Dir.pwd
  Request.wire = Wire.new
  Request.capture = Capture.new
  Failure::HOMES << directory
  services = Services.new(directory)

  blocks = {}
  in_turn = Queue.new
  Thread.new { in_turn.pop.call while true }

  Request.wire.each_request do |request|
    id = request['id']
    case request['do']
    when 'actions'
      home = request['directory']
      Failure::HOMES.unshift(home) unless Failure::HOMES.include?(home)
      in_turn << -> { Request.run(id) { services.actions(request) } }
    when 'call'
      blocks[id] = Thread.new { Request.run(id) { services.call(request['block']) } }
    when 'stop'
      blocks[request['request']]&.kill
    when 'configuration'
      in_turn << -> { Request.run(id) { Recorder.new(directory).record(request['file']) } }
    end
  end
  exit!(0)
end
