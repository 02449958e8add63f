# frozen_string_literal: true

module Hostler
  # The part of Erubis that service files use, for where the gem is not installed. Lines that hold nothing but statements
  # leave nothing behind, as with Erubis and other than with ERB.
  class Eruby
    TAG = /<%(?<kind>={1,2}|#|%)?(?<code>(?:(?!%>).)*?)(?:-%>(?:[ \t]*\r?(?<newline>\n))?|%>)/m
    STATEMENT_LINE = /^[ \t]*(?<tag><%(?![=%])(?:(?!%>).)*%>)[ \t]*\r?\n/m

    attr_reader :src

    def self.load_file(path, options = {})
      new(File.read(path), options)
    end

    def initialize(text, options = {})
      text = text.gsub(STATEMENT_LINE) { $~[:tag] } if options.fetch(:trim, true)
      @src = compile(text)
    end

    # The text, with the variables of a binding or with those of a hash.
    def result(variables = TOPLEVEL_BINDING)
      variables = binding_of(variables) if variables.is_a?(Hash)
      eval(@src, variables, '(template)') # rubocop:disable Security/Eval
    end

    # The text, with the instance variables of an object or with those of a hash.
    def evaluate(context = {})
      if context.is_a?(Hash)
        variables = context
        context = Object.new
        variables.each { |name, value| context.instance_variable_set("@#{name}", value) }
      end
      context.instance_eval(@src, '(template)')
    end

    private

    def binding_of(variables)
      empty = Object.new.instance_eval { binding }
      variables.each { |name, value| empty.local_variable_set(name, value) }
      empty
    end

    # Ruby source with as many lines as the template, so that errors name the right one.
    def compile(text)
      code = +"_text = +'';"
      while (tag = TAG.match(text))
        code << literal(tag.pre_match) << translate(tag)
        text = tag.post_match
      end
      code << literal(text) << ' _text'
    end

    def literal(text)
      text.empty? ? '' : " _text << #{text.dump};#{"\n" * text.count("\n")}"
    end

    def translate(tag)
      case tag[:kind]
      when '=' then " _text << (#{tag[:code]}).to_s;#{tag[:newline]}"
      when '==' then " _text << ERB::Util.html_escape(#{tag[:code]});#{tag[:newline]}"
      when '%' then literal("<%#{tag[:code]}%>")
      when '#' then "\n" * (tag[:code].count("\n") + 1)
      else "#{tag[:code]}\n"
      end
    end
  end

  def self.stand_in_for_erubis
    Object.const_set(:Erubis, Module.new { const_set(:Eruby, Eruby) })
    true
  end
end
