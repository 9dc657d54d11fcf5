// Writes so many records one after the other, and reads them all again.
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

public class Ask {
    public static void main(String[] args) throws Exception {
        int number = Integer.parseInt(args[1]);
        Properties to = new Properties();
        to.put("bootstrap.servers", args[0]);
        to.put("client.id", "asker");
        to.put("enable.idempotence", "false");
        try (var producer = new KafkaProducer<>(to, new StringSerializer(), new StringSerializer())) {
            for (int at = 0; at < number; at++) {
                producer.send(new ProducerRecord<>("orders", 0, "k" + at, "secret value " + at)).get();
            }
        }
        Properties from = new Properties();
        from.put("bootstrap.servers", args[0]);
        from.put("client.id", "reader");
        int read = 0;
        try (var consumer = new KafkaConsumer<>(from, new StringDeserializer(), new StringDeserializer())) {
            var of = List.of(new TopicPartition("orders", 0));
            consumer.assign(of);
            consumer.seekToBeginning(of);
            while (read < number) {
                read += consumer.poll(Duration.ofSeconds(10)).count();
            }
        }
        System.out.println("read " + read);
    }
}
