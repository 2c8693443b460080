using System.Text;

namespace StreamsHost.Output;

/// <summary>Writes lines to standard output, in order with the log.</summary>
internal sealed class QueuedWriter(QueuedConsole console) : TextWriter
{
    public override Encoding Encoding => StandardText.Encoding;

    public override void Write(char value) => console.WriteOutput(value.ToString());

    public override void Write(string? value) => console.WriteOutput(value ?? string.Empty);

    public override void WriteLine(string? value) => console.WriteOutput(value + NewLine);
}
